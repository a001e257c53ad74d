"""Mosaics of the store: the row that a commit writes, and the records that readers get."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from contimg.epoch.products import Mosaic
from contimg.epoch.windows import strip_of_key
from contimg.formats.records import NO_UNIT, ApiPath, Page, about, page_key, to_plain
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.time import DAY_S
from contimg.quality.grades import GOOD
from contimg.sky.regions import Footprint, footprint_cells
from contimg.store import tables
from contimg.store.activity.events import record_metrics
from contimg.store.database import Repository, count, order_by_key
from contimg.store.jobs.kinds import EPOCH, LIVE, State
from contimg.store.products import tile_products

SOURCE_MOSAICS, SAME_DEG = 100, 20 / 3600  # the last mosaics that are searched for sources; two within are one
HISTORY_MOSAICS, MIN_HISTORY_MOSAICS, HISTORY_DAYS = 24, 5, 30.0  # mosaics of a strip that noise is compared with

EpochKey = Annotated[
    str, about("Key of the epoch: date (UTC) and sidereal time of its beginning, and strip",
               example="2026-02-22_L0130_D+163")
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EpochTile:
    """A tile image in an epoch's window. Times are epoch seconds."""

    image_id: Annotated[int, about("Number of the image in the store", NO_UNIT, 12)]
    group: Annotated[str, about("Id of its group", example="2026-02-22T03:04:05")]
    fits_path: Annotated[
        Path, about("The image on the pipeline's machine", example="/data/products/images/2026-02-22T03:04:05.fits")
    ]
    observed_at: Annotated[float, about("Middle of the observation")]
    created_at: Annotated[float, about("When the image was stored")]
    grade: Annotated[str | None, about("QA grade of the image; null before grading", example="good")] = None


@dataclass(frozen=True)
class EpochMosaic:
    """Result of the mosaic stage for an epoch: the mosaic, and the tile images that it was given."""

    mosaic: Mosaic
    tiles: tuple[EpochTile, ...]


@dataclass(frozen=True, kw_only=True)
class StoredMosaic(Mosaic):
    """A mosaic of an epoch."""

    id: Annotated[int, about("Number of the mosaic in the store", NO_UNIT, 3)]
    epoch: EpochKey
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    created_at: Annotated[float, about("When the mosaic was stored")]

    def file(self, name: str) -> Path | None:
        """Return one of its files; None when it has no such file.

        Parameters
        ----------
        name : a key of `FILES`.
        """
        return getattr(self, FILES[name][0]) if name in FILES else None

    @property
    def footprint(self) -> Footprint:
        """Outline of the mosaic on the sky."""
        width_deg, height_deg = (self.cell_arcsec / 3600 * pixels for pixels in (self.width_pixels, self.height_pixels))
        return Footprint(self.ra_deg, self.dec_deg, width_deg, height_deg)

    @property
    def fits_url(self) -> Annotated[ApiPath, about("Path of the mosaic in the API", example="/api/mosaics/3.fits")]:
        """Path of the mosaic in the API."""
        return f"/api/mosaics/{self.id}.fits"

    @property
    def weight_fits_url(
        self,
    ) -> Annotated[ApiPath, about("Path of the weights in the API", example="/api/mosaics/3.weight.fits")]:
        """Path of the weights in the API."""
        return f"/api/mosaics/{self.id}.weight.fits"

    @property
    def rms_fits_url(
        self,
    ) -> Annotated[ApiPath, about("Path of the noise in the API", example="/api/mosaics/3.rms.fits")]:
        """Path of the noise in the API."""
        return f"/api/mosaics/{self.id}.rms.fits"

    @property
    def png_url(self) -> Annotated[ApiPath, about("Path of the preview in the API", example="/api/mosaics/3.png")]:
        """Path of the preview in the API."""
        return f"/api/mosaics/{self.id}.png"


FILES = {
    "fits": ("fits_path", "mosaic"),
    "weight.fits": ("weight_fits_path", "weights"),
    "rms.fits": ("rms_fits_path", "noise"),
    "png": ("png_path", "preview"),
    "thumb.png": ("thumbnail_path", "small preview"),
    "qa.png": ("qa_png_path", "plots of the overlaps"),
    "comparison.png": ("comparison_png_path", "plots of the comparison with the reference catalogue"),
}
"""Field and label of each file of a mosaic, by the end of its path in the API."""


@dataclass(frozen=True)
class CalendarEpoch:
    """An epoch in the calendar.

    Attributes
    ----------
    id : its key.
    reference_s : beginning of its window, epoch seconds.
    state : of its job.
    grade : QA grade of its mosaic; None without a mosaic, or before grading.
    tile_count : tile images that its mosaic was made from; 0 without a mosaic.
    """

    id: str
    reference_s: float
    state: State
    grade: str | None
    tile_count: int


@dataclass(frozen=True)
class GradedMosaics:
    """The live mosaics: the file of each good one by its epoch, and the epochs of the others."""

    good: Mapping[str, Path]
    rejected: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class MosaicList(Page):
    """Mosaics, the latest observed first."""

    mosaics: Annotated[tuple[StoredMosaic, ...], about("Mosaics, the latest observed first")]


class Mosaics(Repository):
    """The mosaics of the store."""

    def mosaic(self, mosaic_id: int) -> StoredMosaic | None:
        """Return a mosaic by its id, or None.

        Parameters
        ----------
        mosaic_id : number of its row.
        """
        return self._first(tables.MosaicRow.id == mosaic_id)

    def mosaic_of(self, job_id: int) -> StoredMosaic | None:
        """Return the mosaic of an epoch's job, or None.

        Parameters
        ----------
        job_id : id of the job.
        """
        return self._first(tables.MosaicRow.job_id == job_id)

    def list_mosaics(
        self, limit: int = 20, *, grade: str | None = None, image_id: int | None = None,
        before: tuple[float, int] | None = None, processing: str = LIVE,
    ) -> MosaicList:  # fmt: skip
        """Return a page of the mosaics by time of observation, newest first.

        Parameters
        ----------
        limit : largest number of mosaics.
        grade : QA grade; None for all.
        image_id, processing : number of a tile image that the mosaics were given, None for all; and processing.
        before : beginning of the window (epoch seconds) and id of the last mosaic of the page before.
        """
        row, member = tables.MosaicRow, tables.MosaicInput
        conditions = [row.processing == processing, *([] if grade is None else [row.verdict == grade])]
        if image_id is not None:
            conditions.append(row.id.in_(select(member.mosaic_id).where(member.image_id == image_id)))
        query = order_by_key(select(row).where(*conditions), row.reference_s, row.id, False, before).limit(limit + 1)
        with self._database.read() as session:
            rows, total = list(session.scalars(query)), count(session, row, *conditions)
        last = rows[limit - 1] if len(rows) > limit else None
        return MosaicList(
            mosaics=tuple(map(make_stored_mosaic, rows[:limit])), total=total,
            next=page_key(last.reference_s, last.id) if last else None,
        )  # fmt: skip

    def calendar(self, since_s: float, until_s: float) -> tuple[CalendarEpoch, ...]:
        """Return the live epochs of a span with the grades of their mosaics, in order of time; one query for all.

        Parameters
        ----------
        since_s, until_s : limits of the windows' beginnings, epoch seconds; the second is excluded.
        """
        with self._database.read() as session:
            return read_calendar(session, since_s, until_s)

    def graded(self) -> GradedMosaics:
        """Return the live mosaics by their grades, for the HiPS of the good ones."""
        row = tables.MosaicRow
        query = select(row.epoch, row.verdict, row.record["fits_path"].as_string()).where(row.processing == LIVE)
        with self._database.read() as session:
            mosaics = session.execute(query).all()
        good = {epoch: Path(path) for epoch, verdict, path in mosaics if verdict == GOOD}
        return GradedMosaics(good, frozenset(epoch for epoch, _, _ in mosaics if epoch not in good))

    def last_change(self) -> tuple[int, float] | None:
        """Return the number of live mosaics and when the newest was stored (epoch seconds); None without any."""
        row = tables.MosaicRow
        with self._database.read() as session:
            number, stored_at = session.execute(
                select(func.count(row.id), func.max(row.created_at)).where(row.processing == LIVE)
            ).one()
        return (number, stored_at) if number else None

    def history_rms_jy(self, strip: int, start_s: float, processing: str = LIVE) -> float | None:
        """Return the median noise of the last good mosaics of a declination strip, Jy/beam.

        Parameters
        ----------
        strip : of `contimg.epoch.windows.strip_of`.
        start_s : the mosaics of windows before this one count, epoch seconds, back to `HISTORY_DAYS` before it, the
            last `HISTORY_MOSAICS` at most.
        processing : of these mosaics.

        Returns
        -------
        the median; None where there are fewer than `MIN_HISTORY_MOSAICS`.
        """
        row = tables.MosaicRow
        earlier = (row.reference_s >= start_s - HISTORY_DAYS * DAY_S, row.reference_s < start_s)
        query = select(row.rms_jy).where(
            row.strip == strip, row.verdict == GOOD, row.processing == processing, *earlier
        )
        with self._database.read() as session:
            noises = list(session.scalars(query.order_by(row.reference_s.desc()).limit(HISTORY_MOSAICS)))
        return median(noises) if len(noises) >= MIN_HISTORY_MOSAICS else None

    def find_sources(
        self, ra_deg: float, dec_deg: float, radius_deg: float, before_s: float
    ) -> tuple[Mapping[str, Any], ...]:
        """Return the brightest sources of the last good mosaics near a direction; a place is taken from the newest.

        Parameters
        ----------
        ra_deg, dec_deg : the direction, ICRS.
        radius_deg : from it.
        before_s : windows that begin before this time count, epoch seconds, back to `HISTORY_DAYS` before it.

        Returns
        -------
        `name`, `ra_deg`, `dec_deg`, `flux_jy` of each, as the mosaic has them, and the mosaic's `freq_hz`.
        """
        row = tables.MosaicRow
        query = (
            select(row.record)
            .where(row.verdict == GOOD, row.processing == LIVE)
            .where(row.reference_s >= before_s - HISTORY_DAYS * DAY_S, row.reference_s < before_s)
            .order_by(row.reference_s.desc())
            .limit(SOURCE_MOSAICS)
        )
        sources: list[Mapping[str, Any]] = []
        with self._database.read() as session:
            for record in session.scalars(query):
                near = [
                    {**source, "freq_hz": record["freq_hz"]}
                    for source in record["sources"]
                    if _separation_deg(source, ra_deg, dec_deg) <= radius_deg
                ]
                sources += [
                    source
                    for source in near
                    if all(_separation_deg(known, source["ra_deg"], source["dec_deg"]) > SAME_DEG for known in sources)
                ]
        return tuple(sources)

    def earlier_noise_maps(self, mosaic: StoredMosaic) -> tuple[Path, ...]:
        """Return the noise maps on disk of the earlier epochs that cover a part of a mosaic's sky, the newest first.

        Parameters
        ----------
        mosaic : of an epoch; epochs of its processing and strip whose fluxes are in light curves count.
        """
        row, epoch = tables.MosaicRow, tables.MeasuredEpoch
        query = select(row.record).join(epoch, epoch.mosaic_id == row.id)
        query = query.where(epoch.is_accepted, row.processing == mosaic.processing)
        query = query.where(row.strip == (strip_of_key(mosaic.epoch) or 0), row.epoch < mosaic.epoch)
        with self._database.read() as session:
            records = session.scalars(query.order_by(row.epoch.desc())).all()
        maps = [
            Path(record["rms_fits_path"])
            for record in records
            if _separation_deg(record, mosaic.ra_deg, mosaic.dec_deg) < _radius_deg(record) + _radius_deg(vars(mosaic))
        ]
        return tuple(path for path in maps if path.is_file())

    def _first(self, condition: Any) -> StoredMosaic | None:
        with self._database.read() as session:
            row = session.scalar(select(tables.MosaicRow).where(condition))
            return None if row is None else make_stored_mosaic(row)


@tile_products.write.register
def _write_mosaic(product: EpochMosaic, session: Session, job: tables.Job, now: float) -> None:
    model = tables.MosaicRow
    row = session.scalar(select(model).where(model.job_id == job.id))
    row = row or model(job_id=job.id, processing=job.processing, epoch=job.key, reference_s=job.reference_s)
    row.strip = strip_of_key(job.key) or 0
    row.rms_jy, row.verdict = product.mosaic.rms_jy, product.mosaic.verdict or None
    row.record, row.created_at = to_plain(product.mosaic), now
    session.add(row)
    session.flush()
    index_mosaic(session, row)
    session.execute(delete(tables.MosaicInput).where(tables.MosaicInput.mosaic_id == row.id))
    session.add_all(
        tables.MosaicInput(
            mosaic_id=row.id, image_id=tile.image_id, group_id=tile.group, image_created_at=tile.created_at
        )
        for tile in product.tiles
    )
    record_metrics(session, now, {"mosaic.rms_jy": row.rms_jy}, job.key, job.processing)


def index_mosaic(session: Session, row: tables.MosaicRow) -> None:
    """Write the cells of the sky that a mosaic covers.

    Parameters
    ----------
    session : of the caller's transaction.
    row : of the mosaic; it has its number.
    """
    cell, names = tables.MosaicCell, ("ra_deg", "dec_deg", "width_pixels", "height_pixels", "cell_arcsec")
    session.execute(delete(cell).where(cell.mosaic_id == row.id))
    cells = footprint_cells(*(row.record[name] for name in names))
    session.add_all(cell(cell=number, mosaic_id=row.id) for number in cells)


def _separation_deg(source: Mapping[str, Any], ra_deg: float, dec_deg: float) -> float:
    """Distance of a source from a direction."""
    positions = np.deg2rad([source["ra_deg"], source["dec_deg"]]), np.deg2rad([ra_deg, dec_deg])
    return float(np.rad2deg(separation_rad(*positions)))


def _radius_deg(mosaic: Mapping[str, Any]) -> float:
    """Half of the diagonal of a mosaic."""
    return float(0.5 * mosaic["cell_arcsec"] / 3600 * np.hypot(mosaic["width_pixels"], mosaic["height_pixels"]))


@cache
def _reader() -> TypeAdapter[StoredMosaic]:
    return TypeAdapter(StoredMosaic)


def make_stored_mosaic(row: tables.MosaicRow) -> StoredMosaic:
    """Return the record of a row.

    Parameters
    ----------
    row : of a mosaic.
    """
    columns = {"id": row.id, "epoch": row.epoch, "processing": row.processing, "created_at": row.created_at}
    return _reader().validate_python({**row.record, **columns})


def read_calendar(session: Session, since_s: float, until_s: float) -> tuple[CalendarEpoch, ...]:
    """Return the live epochs of a span with the grades of their mosaics, in order of time; one query for all.

    Parameters
    ----------
    session : of the caller's transaction.
    since_s, until_s : limits of the windows' beginnings, epoch seconds; the second is excluded.
    """
    job, row, member = tables.Job, tables.MosaicRow, tables.MosaicInput
    query = (
        select(job.key, job.reference_s, job.state, row.verdict, func.count(member.id))
        .outerjoin(row, row.job_id == job.id)
        .outerjoin(member, member.mosaic_id == row.id)
        .where(job.kind == EPOCH.name, job.processing == LIVE)
        .where(job.reference_s >= since_s, job.reference_s < until_s)
        .group_by(job.id, row.id)
        .order_by(job.reference_s, job.key)
    )
    return tuple(
        CalendarEpoch(key, reference_s, State(state), grade, tile_count)
        for key, reference_s, state, grade, tile_count in session.execute(query)
    )
