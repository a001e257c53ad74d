"""Reads of sources, light curves and the η–V plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from contimg.epoch.photometry.products import MeasurementFlag
from contimg.instrument.coordinates import separation_rad
from contimg.sky.catalogue.pixels import cone_ranges
from contimg.store import tables
from contimg.store.sky.identification import chunks
from contimg.store.sky.records import EtaVPlane, Measurement, SourceRecord, SourceVariability
from contimg.store.sky.rows import normalisation_of
from contimg.store.tables import record_of

_MAX_RANGES = 200  # of pixels in a statement; a wider cone reads a band of declination
_FLAG_NAMES = {int(flag): str(flag.name) for flag in MeasurementFlag}
_PLANE = ("n", "weighted_mean_jy", "eta", "modulation_index", "vs", "m", "last_mjd")


def read_sources(
    session: Session, query: Select[Any], processing: str, separation_deg: dict[int, float] | None = None
) -> tuple[SourceRecord, ...]:
    """Return the sources of a query with their statistics, in its order.

    Parameters
    ----------
    session : of the caller's transaction.
    query : a select of `tables.Source` and `tables.SourceStatistics`, from `select_sources`.
    processing : of the statistics.
    separation_deg : from a direction, by number of the source; None without one.
    """
    rows = session.execute(query).all()
    identifiers: dict[int, dict[str, str]] = {source.id: {} for source, _ in rows}
    table = tables.SourceIdentifier
    for part in chunks(list(identifiers)):
        for row in session.scalars(select(table).where(table.source_id.in_(part)).order_by(table.identifier)):
            identifiers[row.source_id].setdefault(row.catalogue, row.identifier)
    return tuple(
        record_of(
            SourceRecord, source, identifiers=identifiers[source.id], processing=processing,
            variability=None if statistics is None else record_of(SourceVariability, statistics),
            separation_deg=None if separation_deg is None else separation_deg[source.id],
        )
        for source, statistics in rows
    )  # fmt: skip


def select_sources(processing: str) -> Any:
    """Select sources with their statistics in a processing.

    Parameters
    ----------
    processing : of the statistics.
    """
    source, statistics = tables.Source, tables.SourceStatistics
    of_source = (statistics.source_id == source.id) & (statistics.processing == processing)
    return select(source, statistics).outerjoin(statistics, of_source)


def read_cone(session: Session, ra_deg: float, dec_deg: float, radius_deg: float) -> dict[int, float]:
    """Return the distance (degrees) of each source in a cone, by number, the nearest first.

    Parameters
    ----------
    session : of the caller's transaction.
    ra_deg, dec_deg, radius_deg : the cone, ICRS.
    """
    source = tables.Source
    ranges = cone_ranges(ra_deg, dec_deg, radius_deg).tolist()
    near = (
        or_(*(source.healpix.between(first, after - 1) for first, after in ranges))
        if len(ranges) <= _MAX_RANGES
        else source.dec_deg.between(dec_deg - radius_deg, dec_deg + radius_deg)
    )
    rows = session.execute(select(source.id, source.ra_deg, source.dec_deg).where(near)).all()
    if not rows:
        return {}
    numbers, ra, dec = (np.array(column) for column in zip(*rows, strict=True))
    centre = np.deg2rad([ra_deg, dec_deg])
    distance = np.rad2deg(separation_rad(np.deg2rad(np.stack([ra, dec], axis=-1)), centre))
    order = np.argsort(distance, kind="stable")
    order = order[distance[order] <= radius_deg]
    return dict(zip(numbers[order].tolist(), distance[order].tolist(), strict=True))


def select_measurements(processing: str, *, counted_only: bool = False) -> Select[Any]:
    """Select measurements with the row of their epoch, ordered by source and day.

    Parameters
    ----------
    processing : of the epochs.
    counted_only : without measurements that no statistics use.
    """
    table, epoch = tables.Measurement, tables.MeasuredEpoch
    query = select(*table.__table__.columns).join(epoch, epoch.id == table.epoch_id)
    query = query.where(epoch.processing == processing).order_by(table.source_id, table.day, table.epoch_id)
    return query.where(table.is_counted) if counted_only else query


def make_measurement(row: Any, epoch: Any) -> Measurement:
    """Return a measurement after normalisation.

    Parameters
    ----------
    row : of `measurements`.
    epoch : row of its epoch; an epoch without an accepted normalisation leaves the flux as it was measured.
    """
    flux, error = row.flux_jy, row.flux_error_jy
    if epoch.is_accepted and flux is not None and error is not None:
        flux, error = (
            float(value)
            for value in normalisation_of(epoch).apply(flux, error, bool(row.flags & int(MeasurementFlag.SOFT)))
        )
    return Measurement(
        epoch=epoch.epoch, mosaic_id=epoch.mosaic_id, mjd=epoch.mjd, flux_jy=flux, flux_error_jy=error,
        measured_jy=row.flux_jy, local_rms_jy=row.local_rms_jy,
        pb=None if row.pb_permille is None else row.pb_permille / 1000,
        edge_distance_deg=row.edge_distance_arcsec / 3600, centre_distance_deg=row.centre_distance_arcsec / 3600,
        blend_group=row.blend_group, flags=flag_names(row.flags), is_counted=row.is_counted,
        is_accepted=epoch.is_accepted, calibration_class=epoch.calibration_class,
    )  # fmt: skip


def flag_names(flags: int) -> tuple[str, ...]:
    """Return the names of the flags of a measurement.

    Parameters
    ----------
    flags : of `MeasurementFlag`.
    """
    return tuple(name for value, name in _FLAG_NAMES.items() if flags & value)


def read_epochs_by_id(session: Session, numbers: Sequence[int]) -> dict[int, Any]:
    """Return columns of measured epochs by number.

    Parameters
    ----------
    session : of the caller's transaction.
    numbers : of the epochs.
    """
    epoch = tables.MeasuredEpoch
    return {
        row.id: row
        for part in chunks(numbers)
        for row in session.execute(select(*epoch.__table__.columns).where(epoch.id.in_(part)))
    }


def read_plane(session: Session, processing: str, min_n: int) -> EtaVPlane:
    """Return the η–V plane of all sources with enough points.

    Parameters
    ----------
    session : of the caller's transaction.
    processing : of the statistics.
    min_n : fewest counted measurements.
    """
    # Columns of the tables, not of the classes: 60,000 rows cost half as much.
    source, table = tables.Source.__table__.c, tables.SourceStatistics.__table__.c
    columns = (table.source_id, source.name, source.ra_deg, source.dec_deg, *(table[name] for name in _PLANE))
    query = select(*columns).join_from(tables.SourceStatistics.__table__, tables.Source.__table__)
    query = query.where(table.processing == processing, table.n >= min_n).order_by(table.source_id)
    rows = session.connection().execute(query).all()
    types = {"source_id": np.int64, "name": np.str_, "n": np.int64}
    return EtaVPlane(
        **{column.name: np.array([row[index] for row in rows], dtype=types.get(column.name, np.float64))
           for index, column in enumerate(columns)}
    )  # fmt: skip


def count_sources(session: Session, query: Select[Any]) -> int:
    """Count the rows of a query of sources.

    Parameters
    ----------
    session : of the caller's transaction.
    query : of `select_sources`.
    """
    return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
