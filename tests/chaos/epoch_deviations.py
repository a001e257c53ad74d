"""Find deviations of the epochs after a chaos run: mosaics lost, made twice, made of other tiles, or left behind."""

from collections.abc import Iterator

import numpy as np
from astropy.io import fits
from sqlalchemy import select

from contimg.quality.grades import BAD
from contimg.store import EPOCH, EpochRecord, Outcome, Stage, State, Store, tables
from contimg.store.epochs.collecting import MIN_TILES
from contimg.store.epochs.mosaics import FILES
from contimg.store.epochs.tiles import UNDECIDED

_CLOCK_TOLERANCE_S = 0.05


def find_epoch_deviations(store: Store) -> Iterator[str]:
    """Yield a line for each deviation: every tile is in its windows, and every window has one mosaic of its tiles."""
    epochs = store.epochs.list_epochs(100_000).epochs
    in_windows = {tile.image_id for epoch in epochs for tile in epoch.tiles}
    images = {image.id for image in store.products.images(100_000)}
    yield from (f"image {image_id}: in no epoch" for image_id in sorted(images - in_windows))
    for epoch in epochs:
        yield from _epoch(store, epoch)
    completed = sum(epoch.state is State.COMPLETED for epoch in epochs)
    if (total := store.mosaics.list_mosaics(1).total) != completed:
        yield f"{total} mosaics for {completed} completed epochs"


def _epoch(store: Store, epoch: EpochRecord) -> Iterator[str]:
    usable = sum(tile.grade != BAD for tile in epoch.tiles)
    mosaic = store.mosaics.mosaic_of(epoch.job_id)
    if usable < MIN_TILES:
        if epoch.state is not State.DISCARDED or mosaic is not None:
            yield f"{epoch.id}: {epoch.state} with {usable} usable tiles, mosaic {epoch.mosaic_id}"
        return
    committed = [run for run in store.jobs.runs(epoch.job_id) if run.outcome is Outcome.COMMITTED]
    stages = [run.stage for run in committed]
    if epoch.state is not State.COMPLETED or mosaic is None or sorted(stages) != sorted(EPOCH.stages):
        yield f"{epoch.id}: {epoch.state}, committed {stages}, mosaic {epoch.mosaic_id}, {epoch.error}"
        return
    with store.database.read() as session:
        of_epoch = (tables.MeasuredEpoch.epoch == epoch.id, tables.MeasuredEpoch.processing == epoch.processing)
        measured = session.scalars(select(tables.MeasuredEpoch.mosaic_id).where(*of_epoch)).all()
    if measured and measured != [epoch.mosaic_id]:
        yield f"{epoch.id}: mosaic {epoch.mosaic_id}, measurements of {measured}"
    paths = [member.fits_path for member in (*mosaic.members, *mosaic.omitted)]
    if sorted(paths) != sorted(tile.fits_path for tile in epoch.tiles):
        yield f"{epoch.id}: made from {sorted(paths)}, not from the tile images of its window"
    run = next(run for run in committed if run.stage is Stage.MOSAIC)
    for name in FILES:
        path = mosaic.file(name)
        if path is None:
            continue
        if not path.exists():
            yield f"{epoch.id}: {path} does not exist"
        elif (
            not run.started_at - _CLOCK_TOLERANCE_S <= path.stat().st_mtime <= (run.ended_at or 0) + _CLOCK_TOLERANCE_S
        ):
            yield f"{path}: written outside its committed run: overwritten"
    if mosaic.fits_path.exists() and not np.isfinite(fits.getdata(mosaic.fits_path)).any():
        yield f"{mosaic.fits_path}: no data"


def mosaic_files(store: Store) -> set[str]:
    """Names of the files of all mosaics in the store."""
    mosaics = store.mosaics.list_mosaics(100_000).mosaics
    return {path.name for mosaic in mosaics for name in FILES if (path := mosaic.file(name))}


def unfinished_epochs(store: Store) -> str | None:
    """Return the epochs that have not ended, or None."""
    waiting = store.epochs.list_epochs(1, states=UNDECIDED)
    if not waiting.total:
        return None
    first = waiting.epochs[0]
    return f"{waiting.total} epochs, the first {first.id}: {first.state}, waits for {first.waiting_tiles}"
