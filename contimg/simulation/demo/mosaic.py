"""The demo's mosaic: the epoch with the most tiles, queued without waiting for its window's later tiles."""

import time
from collections.abc import Callable

from rich.console import Console

from contimg.common.errors import BadInput, Transient
from contimg.common.units import number_of
from contimg.simulation.demo.report import ENDED, describe_match
from contimg.store import EpochRecord, State, Store

_POLL_S = 0.5
_MIN_TILES = 2
_BY = "contimg demo"


def queue_mosaic(store: Store) -> EpochRecord | None:
    """Make the epoch with the most tile images pending, and discard the others that wait for tiles.

    No further tile comes, and the stream would wait for one; the workers make the mosaic as any other.

    Parameters
    ----------
    store : of the demo's service.

    Returns
    -------
    The epoch; None where no window has two tile images.
    """
    epochs = store.epochs.list_epochs(100).epochs
    chosen = max(epochs, key=lambda epoch: epoch.tile_count, default=None)
    for epoch in epochs:
        if epoch.state is State.COLLECTING:
            store.jobs.discard(epoch.job_id, by=_BY)
    if chosen is None or chosen.tile_count < _MIN_TILES:
        return None
    if chosen.state is State.COLLECTING:
        store.jobs.retry(chosen.job_id, by=_BY)
    return chosen


def follow_mosaic(
    store: Store, epoch: EpochRecord, console: Console, patience_s: float, check: Callable[[], None]
) -> None:  # fmt: skip
    """Wait for the mosaic of an epoch and print its products.

    Parameters
    ----------
    store : of the demo's service.
    epoch : from `queue_mosaic`.
    console : to write to.
    patience_s : time after which the demo fails.
    check : called at every look at the store; raises when a process of the demo has failed.

    Raises
    ------
    Transient : the epoch is not processed within `patience_s`.
    BadInput : its attempts are used up.
    """
    deadline = time.monotonic() + patience_s
    while (epoch := store.epochs.epoch(epoch.id)).state not in ENDED:
        check()
        if time.monotonic() > deadline:
            raise Transient(
                f"epoch {epoch.id}: {epoch.state} for {patience_s:.0f} s; see the logs in the state directory"
            )
        time.sleep(_POLL_S)
    mosaic = store.mosaics.mosaic_of(epoch.job_id)
    if epoch.state is not State.COMPLETED or mosaic is None:
        raise BadInput(f"epoch {epoch.id}: {epoch.state}: {epoch.error}")
    lines = (
        ("mosaic", mosaic.fits_path), ("preview", mosaic.png_path),
        ("tiles", f"{number_of(mosaic.member_count, 'image')}, {mosaic.area_deg2:.1f} deg2"),
        ("rms", f"{mosaic.rms_jy * 1e3:.2f} mJy/beam"), ("compared with", describe_match(mosaic)),
        ("QA grade", "; ".join([str(mosaic.verdict), *mosaic.verdict_reasons])),
    )  # fmt: skip
    console.print(f"\n[bold]epoch {epoch.id}[/bold]")
    for label, value in lines:
        console.print(f"  {label:15}  {value}", highlight=False, soft_wrap=True)
