"""Tables of a published survey: mosaics and measurements from the store; sources and VOTables from these tables."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.units import format_utc
from contimg.formats.source_tables import TableColumn
from contimg.formats.table_streams import Batch, read_parquet, stream_table
from contimg.store.epochs.mosaics import StoredMosaic
from contimg.store.sky.sums import COLUMNS, POINT, RunningStatistics

MOSAICS, SOURCES = "tables/mosaics", "tables/sources"
PARTS, VOTABLE_PARTS = "measurements/parquet", "measurements/votable"
PART_ROWS = 5_000_000
NO_ROWS = np.zeros(0, dtype=np.int64)
_BATCH = 500  # mosaics
_TEXTS: Mapping[str, tuple[str, str]] = {
    "epoch": ("key of the epoch", "meta.id;meta.main"),
    "file": ("path of the mosaic in this directory", "meta.file"),
    "grade": ("QA grade", "meta.code.qual"),
    "reasons": ("why the grade is not good", "meta.note"),
    "members": ("tile images in the mosaic", "meta.ref"),
    "calibration": ("classes of their calibrations", "meta.note"),
    "stored_at": ("when the mosaic was stored, UTC", "time.creation"),
}
_NUMBERS: Mapping[str, tuple[str, str, str]] = {
    "ra_deg": ("deg", "right ascension of the centre, ICRS", "pos.eq.ra;meta.main"),
    "dec_deg": ("deg", "declination of the centre, ICRS", "pos.eq.dec;meta.main"),
    "width_pixels": ("pix", "pixels from east to west", ""),
    "height_pixels": ("pix", "pixels from south to north", ""),
    "cell_arcsec": ("arcsec", "size of a pixel", "pos.angResolution"),
    "area_deg2": ("deg2", "area with a weight above the cut-off", "phys.angArea"),
    "mjd_start": ("d", "beginning of the first tile, MJD, UTC", "time.start;obs"),
    "mjd_end": ("d", "end of the last tile, MJD, UTC", "time.end;obs"),
    "freq_hz": ("Hz", "effective frequency", "em.freq"),
    "bandwidth_hz": ("Hz", "width of the band", "instr.bandwidth"),
    "beam_major_arcsec": ("arcsec", "beam, FWHM of the major axis", "pos.angResolution"),
    "beam_minor_arcsec": ("arcsec", "beam, FWHM of the minor axis", "pos.angResolution"),
    "beam_angle_deg": ("deg", "beam, position angle, north through east", "pos.posAng"),
    "rms_jy": ("Jy/beam", "noise", "stat.stdev;phot.flux.density"),
    "expected_rms_jy": ("Jy/beam", "noise that the weights predict", ""),
    "peak_jy": ("Jy/beam", "highest value", "phot.flux.density;stat.max"),
}
_UNITS = {"trend_jy_per_day": "Jy/d", "trend_error_jy_per_day": "Jy/d"}


def write_mosaic_table(directory: Path, mosaics: Iterable[StoredMosaic]) -> int:
    """Write the table of the mosaics as Parquet and return their number.

    Parameters
    ----------
    directory : of the publication.
    mosaics : in the order of their epochs.
    """
    return stream_table(directory / f"{MOSAICS}.parquet", _mosaic_batches(mosaics))


def _mosaic_batches(mosaics: Iterable[StoredMosaic]) -> Iterator[Batch]:
    rows: list[dict[str, Any]] = []
    yield _mosaic_columns(rows)
    for mosaic in mosaics:
        rows.append(_mosaic_row(mosaic))
        if len(rows) == _BATCH:
            yield _mosaic_columns(rows)
            rows = []
    yield _mosaic_columns(rows)


def _mosaic_row(mosaic: StoredMosaic) -> dict[str, Any]:
    classes = sorted({member.calibration_class for member in mosaic.members if member.calibration_class})
    return {
        "epoch": mosaic.epoch, "file": f"mosaics/{mosaic.epoch}.fits", "grade": mosaic.verdict,
        "reasons": "; ".join(mosaic.verdict_reasons), "members": " ".join(member.name for member in mosaic.members),
        "calibration": "; ".join(classes), "stored_at": format_utc(mosaic.created_at, "%Y-%m-%dT%H:%M:%SZ"),
        **{name: getattr(mosaic, name) for name in _NUMBERS},
    }  # fmt: skip


def _mosaic_columns(rows: list[dict[str, Any]]) -> Batch:
    texts = {
        name: TableColumn(np.array([row[name] for row in rows], dtype=np.str_), "", *words)
        for name, words in _TEXTS.items()
    }
    numbers = {
        name: TableColumn(np.array([row[name] for row in rows], dtype=np.float64), *words)
        for name, words in _NUMBERS.items()
    }
    return texts | numbers


def write_measurements(directory: Path, batches: Iterator[Batch], part_rows: int = PART_ROWS) -> int:
    """Write measurements as parts in Parquet, whole sources in each, and return the number of rows.

    Parameters
    ----------
    directory : of the publication.
    batches : of `contimg.store.sky.export.read_measurements`.
    part_rows : rows after which a new part begins.
    """
    total, number, batch = 0, 0, next(batches, None)
    while batch is not None:
        part = _Part(batch, batches, part_rows)
        total += stream_table(directory / PARTS / f"part-{number:04d}.parquet", part.batches())
        number, batch = number + 1, part.following
    return total


class _Part:
    """The batches of a part; `following` is the first batch of the next one."""

    def __init__(self, first: Batch, batches: Iterator[Batch], part_rows: int) -> None:
        self._first, self._batches, self._part_rows = first, batches, part_rows
        self.following: Batch | None = None

    def batches(self) -> Iterator[Batch]:
        yield self._first
        rows = len(self._first["source_id"].values)
        for batch in self._batches:
            if rows >= self._part_rows:
                self.following = batch
                return
            rows += len(batch["source_id"].values)
            yield batch


def parts_of(directory: Path) -> list[Path]:
    """Return the parts of the measurements, in order.

    Parameters
    ----------
    directory : of the publication.
    """
    return sorted((directory / PARTS).glob("part-*.parquet"))


def read_sources(directory: Path) -> Iterator[Batch]:
    """Yield the measurements of a publication in batches that hold whole sources.

    Parameters
    ----------
    directory : of the publication.
    """
    pending: Batch | None = None
    for path in parts_of(directory):
        for batch in read_parquet(path):
            joined = batch if pending is None else _join(pending, batch)
            numbers = joined["source_id"].values
            if not numbers.size:
                continue
            start = int(np.searchsorted(numbers, numbers[-1]))
            if start:
                yield take_rows(joined, np.arange(start))
            pending = take_rows(joined, np.arange(start, numbers.size))
    if pending is not None:
        yield pending


def take_rows(batch: Batch, rows: NDArray[Any]) -> Batch:
    """Return some rows of a batch.

    Parameters
    ----------
    batch : columns by name.
    rows : indices, or a mask.
    """
    return {
        name: TableColumn(column.values[rows], column.unit, column.description, column.ucd)
        for name, column in batch.items()
    }


def _join(first: Batch, second: Batch) -> Batch:
    return {
        name: TableColumn(
            np.concatenate([column.values, second[name].values]), column.unit, column.description, column.ucd
        )
        for name, column in first.items()
    }


def write_votables(directory: Path) -> None:
    """Write the tables that are Parquet as VOTables beside them.

    Parameters
    ----------
    directory : of the publication.
    """
    for name in (MOSAICS, SOURCES):
        stream_table(directory / f"{name}.vot", read_parquet(directory / f"{name}.parquet"))
    for path in parts_of(directory):
        stream_table(directory / VOTABLE_PARTS / f"{path.stem}.vot", read_parquet(path))


def source_columns(batch: Batch) -> Batch:
    """Return a row for each source of a batch of measurements: position, number of points, statistics of the points.

    Parameters
    ----------
    batch : of `read_sources`.
    """
    numbers, first, counts = np.unique(batch["source_id"].values, return_index=True, return_counts=True)
    columns = {name: take_rows(batch, first)[name] for name in ("source_id", "name", "ra_deg", "dec_deg")}
    columns["measurements"] = TableColumn(
        counts.astype(np.int64), "", "measurements, also those not counted", "meta.number"
    )
    counted = batch["is_counted"].values & np.isfinite(batch["flux_jy"].values)
    points = np.zeros(int(counted.sum()), dtype=POINT)
    for name, column in (
        ("source_id", "source_id"),
        ("flux_jy", "flux_jy"),
        ("error_jy", "flux_error_jy"),
        ("mjd", "mjd"),
    ):
        points[name] = batch[column].values[counted]
    points["day"] = np.arange(points.size)
    rows = RunningStatistics.of(points).rows("") if points.size else []
    row_of = {row["source_id"]: row for row in rows}
    counts = np.array([row_of[number]["n"] if number in row_of else 0 for number in numbers.tolist()], dtype=np.int64)
    columns["n"] = TableColumn(counts, "", "counted measurements: points of the light curve", "meta.number")
    for name in COLUMNS:
        values = [row_of[number][name] if number in row_of else None for number in numbers.tolist()]
        columns[name] = TableColumn(
            np.array(values, dtype=np.float64), _unit_of(name), *_STATISTICS.get(name, ("", ""))
        )
    return columns


_STATISTICS = {
    "mean_jy": ("mean flux", "phot.flux.density;stat.mean"),
    "weighted_mean_jy": ("weighted mean flux", "phot.flux.density;stat.mean"),
    "weighted_mean_error_jy": ("its error", "stat.error;phot.flux.density"),
    "eta": ("reduced chi-squared against a constant flux", "stat.fit.chi2"),
    "eta_without_extreme": ("the same without the point that deviates most", "stat.fit.chi2"),
    "modulation_index": ("standard deviation over the mean flux", "stat.variance"),
    "vs": ("significance of the change between the extremes", "stat.snr"),
    "m": ("change between the extremes over their mean", ""),
    "trend_jy_per_day": ("linear change with time", ""),
    "trend_error_jy_per_day": ("its error", "stat.error"),
    "first_mjd": ("first point, MJD, UTC", "time.start"),
    "last_mjd": ("last point, MJD, UTC", "time.end"),
    "last_jy": ("flux of the last point", "phot.flux.density"),
    "last_error_jy": ("its error", "stat.error;phot.flux.density"),
    "high_jy": ("highest flux", "phot.flux.density;stat.max"),
    "high_mjd": ("its time, MJD, UTC", "time.epoch"),
    "low_jy": ("lowest flux", "phot.flux.density;stat.min"),
    "low_mjd": ("its time, MJD, UTC", "time.epoch"),
}


def _unit_of(name: str) -> str:
    return _UNITS.get(name) or ("Jy" if name.endswith("_jy") else "d" if name.endswith("_mjd") else "")
