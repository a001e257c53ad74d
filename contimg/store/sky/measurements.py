"""Writing an epoch's measurements and the statistics of its sources, in the transaction of the caller."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.settings.alerts import INFO
from contimg.sky.variability.normalisation import Normalisation
from contimg.sky.variability.options import CandidateRule
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import MEASUREMENTS_LOCK, lock_until_commit
from contimg.store.products import tile_products
from contimg.store.sky.identification import add_sources, chunks, find_names, identify
from contimg.store.sky.records import EpochMeasurements, NewSources, SourceKind
from contimg.store.sky.rows import (
    COLUMNS,
    Keys,
    Rows,
    as_array,
    choose_counted,
    keys_of,
    make_points,
    read_epochs,
    read_rows,
    split_keys,
    transit_day,
)  # fmt: skip
from contimg.store.sky.selection import find_selected, select_candidates, withdraw_candidates
from contimg.store.sky.statistics import update_statistics
from contimg.store.sky.sums import nullable


def write_epoch(session: Session, key: str, processing: str, product: EpochMeasurements, now: float) -> None:
    """Write the measurements of an epoch in place of those it has, and the statistics of all sources of both.

    Parameters
    ----------
    session : of the caller's transaction.
    key, processing : of the epoch.
    product : the measurements; without any those of an earlier mosaic are deleted.
    now : epoch seconds.

    Raises
    ------
    BadInput : the image has no time of observation.
    """
    photometry, normalisation = product.photometry, product.normalisation
    if photometry is None or normalisation is None:
        remove_epoch(session, key, processing, now)
        return
    lock_until_commit(session, MEASUREMENTS_LOCK)
    epoch = find_epoch(session, key, processing) or tables.MeasuredEpoch(epoch=key, processing=processing)
    _describe_image(epoch, photometry)
    _describe_normalisation(epoch, normalisation, product.catalogue_normalisation)
    epoch.mosaic_id, epoch.source_count, epoch.created_at = product.mosaic_id, 0, now
    session.add(epoch)
    session.flush()
    if product.new_sources is not None:
        _add_new_sources(session, product.new_sources, now)
    ids = identify(session, photometry, product.catalogue, now)
    rows = _make_rows(photometry, ids, epoch)
    epoch.source_count = len(rows)
    _replace_all(session, epoch, rows, product.rule, now)
    select_candidates(session, epoch, product.rule, product.new_sources, now)


def write_sources(session: Session, epoch: tables.MeasuredEpoch, photometry: Photometry, ids: NDArray[np.int64]) -> int:
    """Write measurements of single sources in an epoch that was measured; its others stay.

    Parameters
    ----------
    session : of the caller's transaction.
    epoch : row of the epoch.
    photometry : in its mosaic.
    ids : numbers of the sources, shape (positions,).

    Returns
    -------
    number of measurements; positions outside the image have none.
    """
    lock_until_commit(session, MEASUREMENTS_LOCK)
    rows = _make_rows(photometry, ids, epoch)
    old = read_rows(session, _of_epoch(epoch).where(tables.Measurement.source_id.in_(ids.tolist())))
    epoch.source_count += len(rows) - len(old)
    _replace(session, epoch, old, rows)
    return len(rows)


def remove_epoch(session: Session, key: str, processing: str, now: float) -> bool:
    """Delete the measurements of an epoch, and take them out of the statistics.

    Parameters
    ----------
    session : of the caller's transaction.
    key, processing : of the epoch.
    now : epoch seconds.

    Returns
    -------
    whether the epoch was measured.
    """
    lock_until_commit(session, MEASUREMENTS_LOCK)
    epoch = find_epoch(session, key, processing)
    if epoch is None:
        return False
    _replace_all(session, epoch, [], None, now)
    session.delete(epoch)
    session.flush()
    return True


def find_epoch(session: Session, key: str, processing: str) -> tables.MeasuredEpoch | None:
    """Return the row of a measured epoch, or None.

    Parameters
    ----------
    session : of the caller's transaction.
    key, processing : of the epoch.
    """
    row = tables.MeasuredEpoch
    return session.scalar(select(row).where(row.epoch == key, row.processing == processing))


@tile_products.write.register
def _write_measurements(product: EpochMeasurements, session: Session, job: tables.Job, now: float) -> None:
    write_epoch(session, job.key, job.processing, product, now)
    if product.note:
        record_event(session, now, INFO, job.key, product.note, processing=job.processing)


def _add_new_sources(session: Session, new: NewSources, now: float) -> None:
    """Add the sources that the epoch shows first; those of an earlier commit of the epoch stay."""
    stored = find_names(session, "", new.names)
    rows = [row for row, name in enumerate(new.names) if name not in stored]
    if rows:
        add_sources(
            session, np.array(new.ra_deg)[rows], np.array(new.dec_deg)[rows], SourceKind.BLIND, now,
            names=[new.names[row] for row in rows], flux_jy=[new.flux_jy[row] for row in rows],
            position_error_deg=[new.position_error_deg[row] for row in rows],
        )  # fmt: skip


def _describe_image(row: tables.MeasuredEpoch, photometry: Photometry) -> None:
    if photometry.mjd is None:
        raise BadInput(f"{photometry.fits_path}: has no time of observation (DATE-OBS or MJD-OBS)")
    row.fits_path, row.mjd, row.freq_hz = str(photometry.fits_path), photometry.mjd, photometry.freq_hz
    row.beam_major_arcsec, row.beam_minor_arcsec = photometry.beam.major_arcsec, photometry.beam.minor_arcsec
    row.beam_angle_deg, row.error_scale = photometry.beam.angle_deg, photometry.error_scale
    row.calibration_class = photometry.calibration_class


def _describe_normalisation(
    row: tables.MeasuredEpoch, normalisation: Normalisation, of_catalogue: Normalisation | None
) -> None:
    row.factor, row.offset_jy, row.scatter = normalisation.factor, normalisation.offset_jy, normalisation.scatter
    row.factor_error = normalisation.factor_error if np.isfinite(normalisation.factor_error) else None
    row.reference_sources, row.reason = normalisation.sources, normalisation.reason
    row.is_accepted = bool(normalisation.accepted and np.isfinite(normalisation.systematic))
    row.catalogue_normalisation = None if of_catalogue is None else _plain(asdict(of_catalogue))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON has: None in place of NaN."""
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in values.items()}  # fmt: skip


def _make_rows(photometry: Photometry, ids: NDArray[np.int64], epoch: tables.MeasuredEpoch) -> list[dict[str, Any]]:
    """Rows of the measurements; positions outside the image, and a second one of a source, have none."""
    _, first = np.unique(ids, return_index=True)
    index = first[(photometry.flags[first] & int(MeasurementFlag.OUTSIDE)) == 0]
    arcsec = {
        name: np.rint(np.nan_to_num(getattr(photometry, f"{name}_deg")[index]) * 3600).astype(int).tolist()
        for name in ("edge_distance", "centre_distance")
    }
    pb = nullable(np.rint(1000 * photometry.pb[index]))
    group = photometry.blend_group[index]
    columns: dict[str, Sequence[Any]] = {
        "source_id": ids[index].tolist(), "day": transit_day(photometry.ra_deg[index], epoch.mjd).tolist(),
        "flux_jy": nullable(photometry.flux_jy[index]), "flux_error_jy": nullable(photometry.flux_error_jy[index]),
        "local_rms_jy": nullable(photometry.local_rms_jy[index]),
        "pb_permille": [None if value is None else int(value) for value in pb],
        **{f"{name}_arcsec": values for name, values in arcsec.items()},
        "blend_group": [number if number >= 0 else None for number in group.tolist()],
        "flags": photometry.flags[index].tolist(),
    }  # fmt: skip
    return [
        {**dict(zip(columns, row, strict=True)), "epoch_id": epoch.id, "is_counted": False}
        for row in zip(*columns.values(), strict=True)
    ]


def _of_epoch(epoch: tables.MeasuredEpoch) -> Select[Any]:
    return select(*COLUMNS).where(tables.Measurement.epoch_id == epoch.id)


def _replace_all(
    session: Session, epoch: tables.MeasuredEpoch, rows: Sequence[dict[str, Any]], rule: CandidateRule | None,
    now: float,
) -> None:  # fmt: skip
    """Replace all measurements of an epoch, and withdraw the candidates that only the old ones selected."""
    old = read_rows(session, _of_epoch(epoch))
    old_ids = old["source_id"].tolist()
    selected = find_selected(session, old_ids, epoch.processing, rule)
    _replace(session, epoch, old, rows)
    if old_ids:
        withdraw_candidates(session, epoch.epoch, epoch.processing, old_ids, selected, rule, now)


def _replace(session: Session, epoch: tables.MeasuredEpoch, old: Rows, new_rows: Sequence[dict[str, Any]]) -> None:
    """Replace measurements of an epoch, choose the counted ones of their days again, and update the statistics."""
    new, table = as_array(new_rows), tables.Measurement
    keys = np.unique(np.concatenate([keys_of(old), keys_of(new)]))
    if not len(keys):
        return
    same_day = _read_same_days(session, epoch, keys)
    epochs = read_epochs(session, same_day) | {epoch.id: epoch}
    is_counted, still_counted = np.split(choose_counted(np.concatenate([new, same_day]), epochs), [len(new)])
    for part in chunks(old["source_id"].tolist()):
        session.execute(delete(table).where(table.epoch_id == epoch.id, table.source_id.in_(part)))
    if new_rows:
        rows = [row | {"is_counted": value} for row, value in zip(new_rows, is_counted.tolist(), strict=True)]
        session.execute(insert(table.__table__), rows)  # type: ignore[arg-type]
    _mark(session, same_day, still_counted)
    counted = np.concatenate([new[is_counted], same_day[still_counted]])
    # A day whose counted measurement belongs to another epoch, before and after, changes no statistics; nor does one
    # that has had no counted measurement and has none.
    had = np.concatenate([keys_of(rows[rows["is_counted"]]) for rows in (old, same_day)])
    changed = np.intersect1d(keys, np.concatenate([had, keys_of(counted)]))
    changed = np.setdiff1d(changed, keys_of(same_day[still_counted & same_day["is_counted"]]))
    points = make_points(counted[np.isin(keys_of(counted), changed)], epochs)
    update_statistics(session, epoch.processing, changed, points)


def _read_same_days(session: Session, epoch: tables.MeasuredEpoch, keys: Keys) -> Rows:
    """Measurements of the same sources and days in other epochs of the processing."""
    table, epoch_row = tables.Measurement, tables.MeasuredEpoch
    sources, days = (np.unique(numbers).tolist() for numbers in split_keys(keys))
    is_other = (epoch_row.processing == epoch.processing) & (epoch_row.id != epoch.id)
    query = select(*COLUMNS).join(epoch_row, epoch_row.id == table.epoch_id).where(is_other, table.day.in_(days))
    parts = [read_rows(session, query.where(table.source_id.in_(part))) for part in chunks(sources)]
    rows = np.concatenate(parts)
    return rows[np.isin(keys_of(rows), keys)]


def _mark(session: Session, rows: Rows, is_counted: NDArray[np.bool_]) -> None:
    """Write which measurements of other epochs are counted, where that has changed."""
    table = tables.Measurement.__table__
    changed = rows["is_counted"] != is_counted
    values = [
        {"source": row["source_id"].item(), "of_day": row["day"].item(), "of_epoch": row["epoch_id"].item(),
         "counted": counted}
        for row, counted in zip(rows[changed], is_counted[changed].tolist(), strict=True)
    ]  # fmt: skip
    if values:
        is_row = (table.c.source_id == bindparam("source")) & (table.c.day == bindparam("of_day"))
        statement = update(table).where(is_row, table.c.epoch_id == bindparam("of_epoch"))  # type: ignore[arg-type]
        session.connection().execute(statement.values(is_counted=bindparam("counted")), values)
