"""Measurements and statistics as columns of tables, read in batches, so that the memory does not grow with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.epoch.photometry.products import LIMIT_SIGMA
from contimg.formats.source_tables import TableColumn
from contimg.store import tables
from contimg.store.jobs.kinds import LIVE
from contimg.store.sky.queries import flag_names, read_cone
from contimg.store.sky.rows import normalise_rows
from contimg.store.sky.sums import COLUMNS

BATCH_SOURCES = 100  # a year of them: 36,500 rows and those that are not counted
_MEASURED = (
    "source_id", "epoch_id", "flux_jy", "flux_error_jy", "local_rms_jy", "pb_permille", "edge_distance_arcsec",
    "centre_distance_arcsec", "blend_group", "flags", "is_counted",
)  # fmt: skip
_RA, _DEC = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
_UNITS = {"trend_jy_per_day": "Jy/d", "trend_error_jy_per_day": "Jy/d"}


@dataclass(frozen=True)
class ExportFilter:
    """What is exported.

    Attributes
    ----------
    processing : `live`, or the name of a campaign.
    cone : right ascension, declination and radius, degrees; None for all sources.
    since_mjd, until_mjd : limits of the time; the second is excluded; None for all times.
    counted_only : without measurements that no statistics use.
    epochs : keys of the epochs; None for all.
    """

    processing: str = LIVE
    cone: tuple[float, float, float] | None = None
    since_mjd: float | None = None
    until_mjd: float | None = None
    counted_only: bool = False
    epochs: frozenset[str] | None = None


def read_measurements(session: Session, chosen: ExportFilter) -> Iterator[Mapping[str, TableColumn]]:
    """Yield the measurements as columns, in the order of sources and days; the first batch may have no row.

    Parameters
    ----------
    session : of the caller's transaction.
    chosen : which.
    """
    epochs = _read_epochs(session, chosen)
    table = tables.Measurement.__table__.c
    query = select(*(table[name] for name in _MEASURED)).order_by(table.source_id, table.day, table.epoch_id)
    if chosen.counted_only:
        query = query.where(table.is_counted)
    numbers = _source_numbers(session, chosen)
    for part in [numbers[start : start + BATCH_SOURCES] for start in range(0, len(numbers), BATCH_SOURCES)] or [[]]:
        rows = session.connection().execute(query.where(table.source_id.in_(part))).all()
        rows = [row for row in rows if row.epoch_id in epochs]
        sources = {row.id: row for row in _read_sources(session, part)}
        yield _measurement_columns(rows, sources, epochs)


def read_statistics(session: Session, chosen: ExportFilter) -> Iterator[Mapping[str, TableColumn]]:
    """Yield the sources with their statistics as columns, in the order of their numbers.

    Parameters
    ----------
    session : of the caller's transaction.
    chosen : which; the statistics are of all times.
    """
    table = tables.SourceStatistics.__table__.c
    query = select(*(table[name] for name in ("source_id", "n", *COLUMNS))).where(table.processing == chosen.processing)
    numbers = _source_numbers(session, chosen)
    size = 20 * BATCH_SOURCES
    for part in [numbers[start : start + size] for start in range(0, len(numbers), size)] or [[]]:
        row_of = {row.source_id: row for row in session.connection().execute(query.where(table.source_id.in_(part)))}
        sources = _read_sources(session, part)
        columns = _source_columns(sources)
        counts = [row_of[source.id].n if source.id in row_of else 0 for source in sources]
        columns["n"] = TableColumn(np.array(counts, dtype=np.int64), description="counted measurements")
        for name in COLUMNS:
            values = [getattr(row_of[source.id], name) if source.id in row_of else None for source in sources]
            columns[name] = TableColumn(np.array(values, dtype=np.float64), _unit_of(name))
        yield columns


def _unit_of(name: str) -> str:
    endings = {"_jy": "Jy", "_mjd": "d"}
    return _UNITS.get(name) or next((unit for ending, unit in endings.items() if name.endswith(ending)), "")


def _source_numbers(session: Session, chosen: ExportFilter) -> Sequence[int]:
    """Numbers of the sources, in order."""
    if chosen.cone is not None:
        return sorted(read_cone(session, *chosen.cone))
    return session.scalars(select(tables.Source.id).order_by(tables.Source.id)).all()


def _read_sources(session: Session, numbers: Sequence[int]) -> Sequence[Any]:
    source = tables.Source.__table__.c
    query = select(source.id, source.name, source.ra_deg, source.dec_deg).where(source.id.in_(numbers))
    return session.connection().execute(query.order_by(source.id)).all()


def _read_epochs(session: Session, chosen: ExportFilter) -> dict[int, Any]:
    """Rows of the epochs of the processing and time, by number."""
    epoch = tables.MeasuredEpoch.__table__.c
    query = select(*epoch).where(epoch.processing == chosen.processing)
    if chosen.since_mjd is not None:
        query = query.where(epoch.mjd >= chosen.since_mjd)
    if chosen.until_mjd is not None:
        query = query.where(epoch.mjd < chosen.until_mjd)
    rows = session.connection().execute(query)
    return {row.id: row for row in rows if chosen.epochs is None or row.epoch in chosen.epochs}


def _source_columns(sources: Sequence[Any]) -> dict[str, TableColumn]:
    """Number, name and position of sources, a row for each."""
    return {
        "source_id": TableColumn(
            np.array([row.id for row in sources], dtype=np.int64), "", "number of the source", "meta.record"
        ),
        "name": TableColumn(
            np.array([row.name for row in sources], dtype=np.str_), "", "name of the source", "meta.id;meta.main"
        ),
        "ra_deg": TableColumn(_floats([row.ra_deg for row in sources]), "deg", "right ascension, ICRS", _RA),
        "dec_deg": TableColumn(_floats([row.dec_deg for row in sources]), "deg", "declination, ICRS", _DEC),
    }


def _measurement_columns(
    rows: Sequence[Any], sources: Mapping[int, Any], epochs: Mapping[int, Any]
) -> Mapping[str, TableColumn]:
    values: dict[str, list[Any]] = {name: [row[index] for row in rows] for index, name in enumerate(_MEASURED)}
    of_epoch = [epochs[number] for number in values["epoch_id"]]
    measured, measured_error = _floats(values["flux_jy"]), _floats(values["flux_error_jy"])
    epoch_ids = np.array(values["epoch_id"], dtype=np.int64)
    flags = np.array(values["flags"], dtype=np.int64)
    flux, error = normalise_rows(epoch_ids, measured, measured_error, flags, epochs)
    names = {number: "+".join(flag_names(number)) for number in np.unique(flags).tolist()}
    classes = [epoch.calibration_class or "" for epoch in of_epoch]
    groups = [-1 if number is None else number for number in values["blend_group"]]
    return _source_columns([sources[number] for number in values["source_id"]]) | {
        "epoch": TableColumn(_texts([epoch.epoch for epoch in of_epoch]), "", "key of the epoch"),
        "mjd": TableColumn(
            _floats([epoch.mjd for epoch in of_epoch]), "d", "middle of the observation, MJD, UTC", "time.epoch;obs"
        ),
        "flux_jy": TableColumn(flux, "Jy", "flux after normalisation", "phot.flux.density;em.radio"),
        "flux_error_jy": TableColumn(
            error, "Jy", "its error, with that of the normalisation", "stat.error;phot.flux.density"
        ),
        "limit_jy": TableColumn(LIMIT_SIGMA * error, "Jy", "3 sigma upper limit of a flux of 0"),
        "measured_jy": TableColumn(measured, "Jy", "flux before normalisation"),
        "measured_error_jy": TableColumn(measured_error, "Jy", "its error"),
        "local_rms_jy": TableColumn(_floats(values["local_rms_jy"]), "Jy/beam", "noise at the position"),
        "pb": TableColumn(_floats(values["pb_permille"]) / 1000, "", "response of the primary beam"),
        "edge_distance_deg": TableColumn(
            _floats(values["edge_distance_arcsec"]) / 3600, "deg", "distance from the edge of the data"
        ),
        "centre_distance_deg": TableColumn(
            _floats(values["centre_distance_arcsec"]) / 3600, "deg", "distance from the centre of the mosaic"
        ),
        "blend_group": TableColumn(np.array(groups, dtype=np.int64), "", "group fitted together; -1 of one alone"),
        "flags": TableColumn(flags, "", "sum of the flags"),
        "flag_names": TableColumn(_texts([names[number] for number in flags.tolist()]), "", "names of the flags"),
        "is_counted": TableColumn(np.array(values["is_counted"], dtype=bool), "", "whether the statistics use it"),
        "is_accepted": TableColumn(
            np.array([epoch.is_accepted for epoch in of_epoch], dtype=bool), "", "whether the normalisation is accepted"
        ),
        "calibration_class": TableColumn(_texts(classes), "", "class of the calibration"),
    }


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _texts(values: Sequence[str]) -> NDArray[np.str_]:
    return np.array(values, dtype=np.str_)
