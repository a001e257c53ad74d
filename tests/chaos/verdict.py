"""Whether anything was lost, made twice, overwritten or left behind: every deviation in words."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astropy.io import fits
from casacore.tables import table
from plan import EXPECTED, GroupPlan
from sqlalchemy import func, select
from telescope import Delivered
from world import World

from contimg.files.staging import MARK
from contimg.store import FileState, Outcome, Stage, State, Store, tables

_SLACK_S = 0.05  # a file system's clock is as coarse as a tick of the kernel


def judge(world: World, delivered: Delivered) -> list[str]:
    """Every deviation of store and disk from what must be, one line each; none when all is well."""
    store = world.store
    assert store is not None
    found = list(_groups(store, delivered))
    found += _files(store, delivered)
    found += _rows(store, delivered)
    found += _disk(world, store, delivered)
    return found


def _groups(store: Store, delivered: Delivered) -> Iterator[str]:
    known = {one.id: one for one in store.files.groups(limit=100_000)}
    yield from (f"{name}: a group that nobody delivered" for name in known.keys() - delivered.groups.keys())
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
        yield f"{name} ({plan.spoilt}): {group.state} {group.stage}, {group.error}"
        return
    if group.lease_owner or group.lease_expires_at:
        yield f"{name}: completed, and {group.lease_owner} still holds a lease"
    committed = Counter(run.stage for run in store.jobs.runs(name) if run.outcome is Outcome.COMMITTED)
    if committed != dict.fromkeys(Stage, 1):
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
        yield f"{name} ({plan.spoilt}): lacks {row.missing_subbands}, not {plan.subbands}"
    with table(str(row.path), ack=False) as main:
        flags = main.getcol("FLAG_ORIGINAL")
        channels = flags.shape[1] // EXPECTED
        gaps = int(np.count_nonzero(flags.all(axis=(0, 2)))) // channels
        if gaps != EXPECTED - plan.subbands_in_product:
            yield f"{row.path}: {gaps} subbands are flagged gaps, not {EXPECTED - plan.subbands_in_product}"
        if row.calibration_set and "CORRECTED_DATA" not in main.colnames():
            yield f"{row.path}: calibrated with {row.calibration_set}, and no CORRECTED_DATA"
    # Calibration's copy shares bytes with what was converted; nobody else may have written to either.
    for path in sorted(one for one in row.path.rglob("*") if one.is_file() and one.name != "table.lock"):
        yield from _made_by(store, name, Stage.CONVERT, path, until=Stage.CALIBRATE)
        if path.stat().st_nlink != 1:
            yield f"{path}: has another name still"


def _image(store: Store, name: str) -> Iterator[str]:
    row = store.products.image_of(name)
    if row is None:
        yield f"{name}: no image in the store"
        return
    for path in (row.fits_path, row.beam_fits_path, row.png_path, row.thumbnail_path):
        if path is None or not path.exists():
            yield f"{name}: {path} is not there"
            return
        yield from _made_by(store, name, Stage.IMAGE, path)
    with fits.open(row.fits_path) as hdus:
        data = hdus[0].data
        if not np.isfinite(data).all() or not data.any():
            yield f"{row.fits_path}: no picture in it"
        applied = str(hdus[0].header.get("CALSET", "none")).strip()
        made = store.products.measurement_set(name)
        if made and applied != (made.calibration_set or "none"):
            yield f"{row.fits_path}: says {applied}, its Measurement Set has {made.calibration_set}"


def _made_by(store: Store, name: str, stage: Stage, path: Path, until: Stage | None = None) -> Iterator[str]:
    """Whether a product's file was last written during the run that was committed for it (or for it and a later)."""
    runs = [run for run in store.jobs.runs(name) if run.outcome is Outcome.COMMITTED]
    first = next(run for run in runs if run.stage is stage)
    last = next(run for run in runs if run.stage is (until or stage))
    written = path.stat().st_mtime
    if not first.started_at - _SLACK_S <= written <= (last.ended_at or 0) + _SLACK_S:
        at, begin, end = (_moment(one) for one in (written, first.started_at, last.ended_at or 0))
        yield f"{path}: written at {at}, its committed run lasted from {begin} to {end}: overwritten"


def _failed(store: Store, name: str, plan: GroupPlan) -> Iterator[str]:
    group = store.files.group(name)
    assert group is not None
    expected = f"incomplete, {EXPECTED - len(plan.subbands)} of {EXPECTED}"
    if group.state is not State.FAILED or not (group.error or "").startswith(expected):
        yield f"{name} ({plan.spoilt}): {group.state}, {group.error!r}; it must be failed: {expected}"
    if store.products.measurement_set(name) or store.products.image_of(name):
        yield f"{name}: failed, and has products"


def _files(store: Store, delivered: Delivered) -> Iterator[str]:
    aside = {one.path.name: one.reason for one in store.files.latest(FileState.QUARANTINED, limit=100_000)}
    for name, how in delivered.spoilt.items():
        if not aside.get(name):
            yield f"{name} ({how}): not set aside with a reason"
    for name in aside.keys() - delivered.spoilt.keys():
        yield f"{name}: set aside though nothing is wrong with it: {aside[name]}"
    late = store.files.latest(FileState.LATE, limit=100_000)
    yield from (f"{one.path.name}: left out of its group as late" for one in late)


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
        yield f"{open_runs} runs without an end, {leases} leases that live"


def _disk(world: World, store: Store, delivered: Delivered) -> Iterator[str]:
    """Nothing in the product directory but products of the store, nothing unfinished anywhere."""
    output = world.disk / "products"
    expected = {output / "images", output / "calibration", output / "calibration" / "flags"}
    for name in delivered.groups:
        made, image = store.products.measurement_set(name), store.products.image_of(name)
        expected |= {made.path} if made else set()
        if image:
            files = (image.fits_path, image.beam_fits_path, image.png_path, image.thumbnail_path)
            expected |= {path for path in files if path} | {image.fits_path.with_name(f"{name}.zoom.png")}
            expected |= {path for path in image.fits_path.parent.glob(f"{name}.*.fits") if MARK not in path.name}
    expected |= {output / "calibration" / one.name for one in store.registry.sets()}
    for directory in (output, output / "images", output / "calibration"):
        present = {Path(entry.path) for entry in os.scandir(directory)} if directory.exists() else set()
        strange = sorted(path for path in present - expected if not path.name.endswith(".failed.log"))
        yield from (f"{path}: no product of any group; left behind" for path in strange)
    scratch = world.disk / "scratch"
    if scratch.exists():
        yield from (f"{path}: left behind" for path in scratch.iterdir())


def wait_until_quiet(world: World, delivered: Delivered, limit_s: float) -> str | None:
    """Wait until every delivered group has come to its end; what is still missing at the limit, or None."""
    deadline = time.monotonic() + limit_s
    while True:
        missing = _unfinished(world, delivered)
        if not missing:
            return None
        if time.monotonic() > deadline:
            return missing
        world.mend_service()
        time.sleep(0.5)


def _unfinished(world: World, delivered: Delivered) -> str | None:
    store = world.store
    assert store is not None
    states = {one.id: one for one in store.files.groups(limit=100_000)}
    ended = (State.COMPLETED, State.FAILED, State.DISCARDED)
    left = [name for name in delivered.groups if name not in states or states[name].state not in ended]
    if left:
        one = states.get(left[0])
        return f"{len(left)} groups, the first {left[0]}: {f'{one.state} {one.stage}' if one else 'not in the store'}"
    aside = {one.path.name for one in store.files.latest(FileState.QUARANTINED, limit=100_000)}
    absent = delivered.spoilt.keys() - aside
    return f"files not set aside: {sorted(absent)[:3]}" if absent else None


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
