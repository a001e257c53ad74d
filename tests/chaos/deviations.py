"""Find deviations of store and disk after a chaos run: products lost, made twice, overwritten or left behind."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits
from casacore.tables import table
from epoch_deviations import find_epoch_deviations, mosaic_files, unfinished_epochs
from plan import EXPECTED, GroupPlan
from sqlalchemy import func, select
from system import System
from telescope import Delivered

from contimg.common.files.staging import MARK
from contimg.store import TILE, FileState, Outcome, Stage, State, Store, tables

_CLOCK_TOLERANCE_S = 0.05  # file times have the resolution of a kernel tick


def find_deviations(system: System, delivered: Delivered) -> list[str]:
    """Return a line for each deviation of store and disk from the expected state."""
    store = system.store
    assert store is not None
    deviations = list(_groups(store, delivered))
    deviations += _files(store, delivered)
    deviations += _rows(store, delivered)
    deviations += find_epoch_deviations(store)
    deviations += _disk(system, store, delivered)
    return deviations


def _groups(store: Store, delivered: Delivered) -> Iterator[str]:
    known = {group.id: group for group in store.files.groups(limit=100_000)}
    yield from (f"{name}: a group that was not delivered" for name in known.keys() - delivered.groups.keys())
    for name, plan in delivered.groups.items():
        if name not in known:
            yield f"{name}: lost; it is not in the store"
            continue
        if plan.subbands_in_product:
            yield from _completed(store, name, plan)
        else:
            yield from _failed(store, name, plan)


def _completed(store: Store, name: str, plan: GroupPlan) -> Iterator[str]:
    group = store.files.group(name)
    assert group is not None
    if group.state is not State.COMPLETED:
        yield f"{name} ({plan.defect}): {group.state} {group.stage}, {group.error}"
        return
    if group.lease_owner or group.lease_expires_at:
        yield f"{name}: completed, but {group.lease_owner} still holds a lease"
    committed = Counter(run.stage for run in store.jobs.runs(name) if run.outcome is Outcome.COMMITTED)
    if committed != dict.fromkeys(TILE.stages, 1):
        yield f"{name}: committed {dict(committed)}, not each stage once"
        return
    yield from _measurement_set(store, name, plan)
    yield from _image(store, name)


def _measurement_set(store: Store, name: str, plan: GroupPlan) -> Iterator[str]:
    row = store.products.measurement_set(name)
    if row is None or not row.path.is_dir():
        yield f"{name}: no Measurement Set {row.path if row else 'in the store'}"
        return
    if EXPECTED - len(row.missing_subbands) != plan.subbands_in_product:
        yield f"{name} ({plan.defect}): lacks {row.missing_subbands}, not {plan.subbands}"
    with table(str(row.path), ack=False) as main:
        flags = main.getcol("FLAG_ORIGINAL")
        channels = flags.shape[1] // EXPECTED
        gap_count = int(np.count_nonzero(flags.all(axis=(0, 2)))) // channels
        if gap_count != EXPECTED - plan.subbands_in_product:
            yield f"{row.path}: {gap_count} subbands are flagged gaps, not {EXPECTED - plan.subbands_in_product}"
        if row.calibration_set and "CORRECTED_DATA" not in main.colnames():
            yield f"{row.path}: calibrated with {row.calibration_set}, but without CORRECTED_DATA"
    # The calibrated copy shares bytes with the converted one; no later run may have written to either.
    for path in sorted(file for file in row.path.rglob("*") if file.is_file() and file.name != "table.lock"):
        yield from _check_write_time(store, name, Stage.CONVERT, path, until=Stage.CALIBRATE)
        if path.stat().st_nlink != 1:
            yield f"{path}: has another hard link"


def _image(store: Store, name: str) -> Iterator[str]:
    row = store.products.image_of(name)
    if row is None:
        yield f"{name}: no image in the store"
        return
    for path in (row.fits_path, row.beam_fits_path, row.png_path, row.thumbnail_path):
        if path is None or not path.exists():
            yield f"{name}: {path} does not exist"
            return
        yield from _check_write_time(store, name, Stage.IMAGE, path)
    with fits.open(row.fits_path) as hdus:
        data = hdus[0].data
        if not np.isfinite(data).all() or not data.any():
            yield f"{row.fits_path}: no data"
        applied = str(hdus[0].header.get("CALSET", "none")).strip()
        measurement_set = store.products.measurement_set(name)
        if measurement_set and applied != (measurement_set.calibration_set or "none"):
            yield f"{row.fits_path}: has CALSET {applied}, its Measurement Set has {measurement_set.calibration_set}"


def _check_write_time(store: Store, name: str, stage: Stage, path: Path, until: Stage | None = None) -> Iterator[str]:
    """Check that a file was last written during the committed run of its stage, or until the end of stage `until`."""
    runs = [run for run in store.jobs.runs(name) if run.outcome is Outcome.COMMITTED]
    first = next(run for run in runs if run.stage is stage)
    last = next(run for run in runs if run.stage is (until or stage))
    written_s = path.stat().st_mtime
    if not first.started_at - _CLOCK_TOLERANCE_S <= written_s <= (last.ended_at or 0) + _CLOCK_TOLERANCE_S:
        written_at, started_at, ended_at = (
            _format_time(time_s) for time_s in (written_s, first.started_at, last.ended_at or 0)
        )
        yield f"{path}: written at {written_at}, its committed run lasted from {started_at} to {ended_at}: overwritten"


def _failed(store: Store, name: str, plan: GroupPlan) -> Iterator[str]:
    group = store.files.group(name)
    assert group is not None
    expected = f"incomplete, {EXPECTED - len(plan.subbands)} of {EXPECTED}"
    if group.state is not State.FAILED or not (group.error or "").startswith(expected):
        yield f"{name} ({plan.defect}): {group.state}, {group.error!r}; expected failed, {expected}"
    if store.products.measurement_set(name) or store.products.image_of(name):
        yield f"{name}: failed, but has products"


def _files(store: Store, delivered: Delivered) -> Iterator[str]:
    quarantined = {file.path.name: file.reason for file in store.files.latest(FileState.QUARANTINED, limit=100_000)}
    for name, defect in delivered.defective.items():
        if not quarantined.get(name):
            yield f"{name} ({defect}): not quarantined with a reason"
    for name in quarantined.keys() - delivered.defective.keys():
        yield f"{name}: quarantined without a defect: {quarantined[name]}"
    late = store.files.latest(FileState.LATE, limit=100_000)
    yield from (f"{file.path.name}: left out of its group as late" for file in late)


def _rows(store: Store, delivered: Delivered) -> Iterator[str]:
    complete = sum(plan.subbands_in_product > 0 for plan in delivered.groups.values())
    with store.database.read() as session:
        for model in (tables.MeasurementSet, tables.Image):
            rows = session.scalar(select(func.count()).select_from(model))
            if rows != complete:
                yield f"{model.__tablename__}: {rows} rows for {complete} groups"
        open_runs = session.scalar(
            select(func.count()).select_from(tables.StageRun).where(tables.StageRun.ended_at.is_(None))
        )
        leases = session.scalar(select(func.count()).select_from(tables.Job).where(tables.Job.lease_token.is_not(None)))
    if open_runs or leases:
        yield f"{open_runs} runs without an end, {leases} live leases"


def _disk(system: System, store: Store, delivered: Delivered) -> Iterator[str]:
    """Check that the product directory has only products of the store, and that no scratch files are left."""
    output = system.disk / "products"
    expected = {output / "images", output / "calibration", output / "calibration" / "flags", output / "mosaics"}
    expected.add(output / "hips")  # of a run long enough for an update
    expected |= {output / "mosaics" / name for name in mosaic_files(store)}
    for name in delivered.groups:
        measurement_set, image = store.products.measurement_set(name), store.products.image_of(name)
        expected |= {measurement_set.path} if measurement_set else set()
        if image:
            files = (image.fits_path, image.beam_fits_path, image.png_path, image.thumbnail_path)
            expected |= {path for path in files if path} | {image.fits_path.with_name(f"{name}.zoom.png")}
            expected.add(image.fits_path.with_name(f"{name}.subtracted.csv"))
            expected |= {path for path in image.fits_path.parent.glob(f"{name}.*.fits") if MARK not in path.name}
    expected |= {output / "calibration" / caltable_set.name for caltable_set in store.registry.sets()}
    for directory in (output, output / "images", output / "calibration", output / "mosaics"):
        present = {Path(entry.path) for entry in os.scandir(directory)} if directory.exists() else set()
        unexpected = sorted(path for path in present - expected if not path.name.endswith(".failed.log"))
        yield from (f"{path}: not a product of a group; left behind" for path in unexpected)
    scratch = system.disk / "scratch"
    if scratch.exists():
        yield from (f"{path}: left behind" for path in scratch.iterdir())


def wait_until_quiet(system: System, delivered: Delivered, limit_s: float) -> str | None:
    """Wait until every delivered group and every epoch has ended; return what is unfinished at the limit, or None."""
    deadline = time.monotonic() + limit_s
    while True:
        missing = _unfinished(system, delivered)
        if not missing:
            return None
        if time.monotonic() > deadline:
            return missing
        system.restart_if_ended()
        time.sleep(0.5)


def _unfinished(system: System, delivered: Delivered) -> str | None:
    store = system.store
    assert store is not None
    states = {group.id: group for group in store.files.groups(limit=100_000)}
    ended = (State.COMPLETED, State.FAILED, State.DISCARDED)
    unfinished = [name for name in delivered.groups if name not in states or states[name].state not in ended]
    if unfinished:
        first = states.get(unfinished[0])
        state = f"{first.state} {first.stage}" if first else "not in the store"
        return f"{len(unfinished)} groups, the first {unfinished[0]}: {state}"
    quarantined = {file.path.name for file in store.files.latest(FileState.QUARANTINED, limit=100_000)}
    absent = delivered.defective.keys() - quarantined
    return f"files not quarantined: {sorted(absent)[:3]}" if absent else unfinished_epochs(store)


def _format_time(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%H:%M:%S.%f")[:-3]
