"""Products of the stages: the rows that a commit writes, and the records that readers get.

A result of a stage (contimg.tile.products) is stored field by field in the like-named columns of its table, within the
transaction of the commit (`Leases.commit`).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import singledispatch
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from contimg.formats.records import page_key
from contimg.instrument.time import DAY_S
from contimg.quality.calibration import CalibrationNumbers
from contimg.quality.grades import GOOD
from contimg.settings.alerts import WARNING
from contimg.store import tables
from contimg.store.activity.events import Bucket, record_event, record_metrics
from contimg.store.database import Repository, order_by_key
from contimg.store.jobs.kinds import LIVE
from contimg.store.jobs.records import JobRef
from contimg.store.products.antennas import write_antennas
from contimg.store.products.filters import ImageFilter
from contimg.store.products.interference import write_interference
from contimg.store.products.records import ImageList, ObservedTile, StoredImage, StoredMS
from contimg.store.products.series import read_image_series
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage

HISTORY_IMAGES, MIN_HISTORY_IMAGES, HISTORY_DAYS = 24, 5, 30.0  # images of a strip that its noise is compared with


class Products(Repository):
    """Measurement Sets and images of the store."""

    def measurement_set(self, job: JobRef) -> StoredMS | None:
        """Return the Measurement Set of a job, or None.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        """
        return self._find(StoredMS, _of_job(tables.MeasurementSet, job))

    def measurement_sets(self, limit: int = 20) -> tuple[StoredMS, ...]:
        """Return the latest of the stream by observation time, newest first.

        Parameters
        ----------
        limit : largest number of Measurement Sets.
        """
        ms = tables.MeasurementSet
        return self._fetch(StoredMS, select(ms).where(ms.processing == LIVE).order_by(ms.mjd_start.desc()).limit(limit))

    def image(self, image_id: int) -> StoredImage | None:
        """Return an image by its id, or None.

        Parameters
        ----------
        image_id : number of the image's row.
        """
        return self._find(StoredImage, select(tables.Image).where(tables.Image.id == image_id))

    def image_of(self, job: JobRef) -> StoredImage | None:
        """Return the image of a job, or None.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        """
        return self._find(StoredImage, _of_job(tables.Image, job))

    def images(self, limit: int = 20) -> tuple[StoredImage, ...]:
        """Return the latest by observation time, newest first.

        Parameters
        ----------
        limit : largest number of images.
        """
        return self.find_images(ImageFilter(), limit)

    def find_images(
        self, images: ImageFilter, limit: int | None = 20, *, before: tuple[float, int] | None = None
    ) -> tuple[StoredImage, ...]:
        """Return the selected images by observation time, newest first.

        Parameters
        ----------
        images : the conditions.
        limit : largest number of images; None for all.
        before : only images observed before this key, MJD and id; the key of a page's last image gives the next page.
        """
        image = tables.Image
        query = order_by_key(select(image).where(*images.conditions()), image.mjd, image.id, False, before)
        return self._fetch(StoredImage, query.limit(limit))

    def list_images(
        self, images: ImageFilter, limit: int = 20, *, before: tuple[float, int] | None = None
    ) -> ImageList:
        """Return a page of the selected images, with their number.

        Parameters
        ----------
        images : the conditions.
        limit : largest number of images.
        before : key of the last image of the page before, MJD and id.
        """
        listed = self.find_images(images, limit + 1, before=before)
        shown, total = listed[:limit], sum(self.count_images(images).values())
        last = shown[-1] if len(listed) > limit else None
        return ImageList(
            images=shown, total=total, next=page_key(last.mjd, last.id) if last else None,
            next_before_mjd=last.mjd if last else None,
        )  # fmt: skip

    def count_images(self, images: ImageFilter) -> Mapping[str, int]:
        """Count the selected images by QA grade; the empty grade counts those that have none.

        Parameters
        ----------
        images : the conditions.

        Returns
        -------
        number by grade; a grade that no image has is left out.
        """
        image = tables.Image
        query = select(image.verdict, func.count()).where(*images.conditions()).group_by(image.verdict)
        with self._database.read() as session:
            return {grade or "": count for grade, count in session.execute(query)}

    def count_nights(self, images: ImageFilter) -> Mapping[int, Mapping[str, int]]:
        """Count the selected images of each night (UTC day) by QA grade.

        Parameters
        ----------
        images : the conditions.

        Returns
        -------
        counts as of `count_images`, by the MJD at which the day begins, the latest first.
        """
        image = tables.Image
        night = func.floor(image.mjd)
        query = select(night, image.verdict, func.count()).where(*images.conditions()).group_by(night, image.verdict)
        counts: dict[int, dict[str, int]] = defaultdict(dict)
        with self._database.read() as session:
            for mjd, grade, count in session.execute(query.order_by(night.desc())):
                counts[int(mjd)][grade or ""] = count
        return counts

    def history_rms_jy(self, dec_deg: float, mjd: float, processing: str = LIVE) -> float | None:
        """Return the median noise of the last good images of a declination strip, Jy/beam.

        Parameters
        ----------
        dec_deg : declination of the strip, degrees.
        mjd : the images before this time count, back to `HISTORY_DAYS` before it, the last `HISTORY_IMAGES` at most.
        processing : of these images; a campaign has its own.

        Returns
        -------
        the median; None where there are fewer than `MIN_HISTORY_IMAGES` images.
        """
        image = tables.Image
        strip = ImageFilter(
            since_mjd=mjd - HISTORY_DAYS, until_mjd=mjd, grade=GOOD, declination_deg=dec_deg, processing=processing
        )
        query = select(image.rms_jy).where(*strip.conditions())
        with self._database.read() as session:
            noises = list(session.scalars(query.order_by(image.mjd.desc()).limit(HISTORY_IMAGES)))
        return median(noises) if len(noises) >= MIN_HISTORY_IMAGES else None

    def neighbours(self, image_id: int, mjd: float) -> tuple[int | None, int | None]:
        """Return the ids of the images of the same processing observed just before and just after an image.

        Parameters
        ----------
        image_id : of the image.
        mjd : its time of observation, days, UTC.

        Returns
        -------
        the id before and the id after; None where there is no image.
        """
        image, key = tables.Image, (mjd, image_id)
        processing = select(image.processing).where(image.id == image_id).scalar_subquery()
        beside = select(image.id).where(image.processing == processing)
        before = order_by_key(beside, image.mjd, image.id, False, key).limit(1)
        after = order_by_key(beside, image.mjd, image.id, True, key).limit(1)
        with self._database.read() as session:
            return session.scalar(before), session.scalar(after)

    def series(self, name: str, since_s: float, until_s: float, points: int = 300) -> tuple[Bucket, ...]:
        """Return a number of the images over time of observation; see `contimg.store.products.series`.

        Parameters
        ----------
        name : of the number, as `image.noise_ratio`.
        since_s, until_s : the span, epoch seconds; the second is excluded.
        points : number of steps.
        """
        return read_image_series(self._database, name, since_s, until_s, points)

    def tiles(self, images: ImageFilter, limit: int = 3000) -> tuple[ObservedTile, ...]:
        """Return the selected images as marks of a chart, in order of observation.

        Parameters
        ----------
        images : the conditions.
        limit : largest number of images; the latest are returned.
        """
        image = tables.Image
        query = (
            select(
                image.id, image.group_id, image.mjd, image.ra_deg, image.dec_deg, image.rms_jy, image.peak_jy,
                image.verdict, image.calibration_set.is_not(None), image.catalogue_flux_ratio,
                image.__table__.c.expected_rms_jy,
                1.0 - image.__table__.c.unflagged_fraction, image.missing_subbands,
            )
            .where(*images.conditions())
            .order_by(image.mjd.desc())
            .limit(limit)
        )  # fmt: skip
        with self._database.read() as session:
            rows: list[Any] = list(session.execute(query))
        tiles: Any = ((*numbers, tuple(missing or ())) for *numbers, missing in reversed(rows))
        return tuple(ObservedTile(*tile) for tile in tiles)


Product = TypeVar("Product", tables.MeasurementSet, tables.Image)


def _of_job(model: type[Product], job: JobRef) -> Select[Product]:
    """The query of the product of a job, or of the live job of a group."""
    if isinstance(job, int):
        return select(model).where(model.job_id == job)
    return select(model).where(model.group_id == job, model.processing == LIVE)


@singledispatch
def write(product: Any, session: Session, job: tables.Job, now: float) -> None:
    """Write the result of a stage inside a commit; each type of result registers how.

    Parameters
    ----------
    product : result of the stage.
    session : of the transaction of the commit.
    job : row of the job that the stage belongs to.
    now : epoch seconds.

    Raises
    ------
    TypeError : no table holds products of this type.
    """
    raise TypeError(f"no table for a product of type {type(product).__name__}")


@write.register
def _write_converted(product: ConvertedMS, session: Session, job: tables.Job, now: float) -> None:
    row = _new_row(session, tables.MeasurementSet, job, product, now)
    row.calibrated_at = row.calibration_set = row.calibration_note = None
    row.bad_antennas = {}
    fill_row(row, CalibrationNumbers())
    _report_same_times(session, row, now)


@dataclass(frozen=True)
class CopiedMS:
    """A copy of the live Measurement Set of a job's group, which a campaign calibrates: `path` is the copy."""

    path: Path


@write.register
def _write_copy(product: CopiedMS, session: Session, job: tables.Job, now: float) -> None:
    live = session.scalars(_of_job(tables.MeasurementSet, job.key)).one()
    row = session.scalar(_of_job(tables.MeasurementSet, job.id)) or tables.MeasurementSet(job_id=job.id)
    own = {"id", "job_id", "processing", "path", "created_at"}
    for column in (column for column in row.__table__.columns if column.key not in own):
        setattr(row, column.key, getattr(live, column.key))
    row.processing, row.path, row.created_at = job.processing, str(product.path), now
    session.add(row)
    session.flush()


@write.register
def _write_calibrated(product: CalibratedMS, session: Session, job: tables.Job, now: float) -> None:
    if product.new_set:
        write(product.new_set, session, job, now)
    if product.solve_failure:
        record_event(session, now, WARNING, job.key, product.solve_failure, "caltable", processing=job.processing)
    row = session.scalars(_of_job(tables.MeasurementSet, job.id)).one()
    fill_row(row, product)
    row.calibrated_at = now
    write_antennas(product, session, row, now)
    write_interference(product.interference, session, row)


@write.register
def _write_image(product: TileImage, session: Session, job: tables.Job, now: float) -> None:
    ms_id = measurement_set_id(session, job)
    _new_row(session, tables.Image, job, product, now).ms_id = ms_id
    record_metrics(session, now, {"image.rms_jy": product.rms_jy}, job.key, job.processing)


def _report_same_times(session: Session, row: tables.MeasurementSet, now: float) -> None:
    """Record that another Measurement Set of the same processing begins less than half a tile from this one."""
    ms, half_days = tables.MeasurementSet, (row.mjd_end - row.mjd_start) / 2
    is_near = ms.mjd_start.between(row.mjd_start - half_days, row.mjd_start + half_days)
    neighbours = select(ms).where(is_near, ms.processing == row.processing, ms.group_id != row.group_id)
    if neighbour := session.scalar(neighbours.order_by(ms.mjd_start).limit(1)):
        shift_s = (row.mjd_start - neighbour.mjd_start) * DAY_S
        text = (
            f"its data begin {shift_s:+.1f} s from those of group {neighbour.group_id}: the same data under a second "
            "time stamp, or two runs that overlap; remove the files of one of them"
        )
        record_event(session, now, WARNING, row.group_id, text, processing=row.processing)


def _new_row(session: Session, model: type[Product], job: tables.Job, product: Any, now: float) -> Product:
    """The row of a job's product, added or written over; a row of another job whose file it has replaced is deleted."""
    row = session.scalar(_of_job(model, job.id))
    path: Any = tables.Image.fits_path if model is tables.Image else tables.MeasurementSet.path
    for replaced in session.scalars(select(model).where(path == str(getattr(product, path.key)))):
        if replaced is not row:
            session.delete(replaced)
            session.flush()
    row = row or model(job_id=job.id, processing=job.processing, group_id=job.key)
    fill_row(row, product)
    row.created_at = now
    session.add(row)
    return row


def measurement_set_id(session: Session, job: tables.Job) -> int | None:
    """Return the id of the Measurement Set that the later products of a job are made from; None when there is none.

    A campaign that begins with images uses that of the live job.

    Parameters
    ----------
    session : of the caller's transaction.
    job : row of the job.
    """
    ms = tables.MeasurementSet
    own = session.scalar(select(ms.id).where(ms.job_id == job.id))
    if own is not None or job.processing == LIVE:
        return own
    return session.scalar(select(ms.id).where(ms.group_id == job.key, ms.processing == LIVE))


def fill_row(row: Any, product: Any) -> None:
    """Copy the fields of a product into the like-named columns of a row: paths as text, tuples as lists.

    Parameters
    ----------
    row : of any table; columns that the product has no field for stay as they are.
    product : a dataclass; fields that have no column are left out.
    """
    columns = row.__table__.columns.keys()
    for name in (spec.name for spec in fields(product) if spec.name in columns):
        value = getattr(product, name)
        if isinstance(value, Path):
            value = str(value)
        setattr(row, name, list(value) if isinstance(value, tuple) else value)
