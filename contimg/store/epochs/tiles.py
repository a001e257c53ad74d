"""Tiles of an epoch: those that are imaged, those that it waits for, and those that its mosaic was made from."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.epoch.windows import Window, Windows, strip_of_key, strip_of_tile
from contimg.instrument.time import DAY_S, mjd_to_unix, unix_to_mjd
from contimg.settings import QueueRules
from contimg.store import tables
from contimg.store.epochs.mosaics import EpochTile
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.tables import record_of

UNDECIDED = (State.COLLECTING, State.PENDING, State.IN_PROGRESS)
"""States of a job whose product is still to come."""


def windows_of(rules: QueueRules) -> Windows:
    """Return the windows that the settings describe.

    Parameters
    ----------
    rules : of the store.
    """
    return Windows(rules.epoch_window_min, rules.epoch_step_min)


def find_tiles(session: Session, job: tables.Job, rules: QueueRules) -> tuple[EpochTile, ...]:
    """Return the tile images in an epoch's window and strip, in order of observation.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    rules : with the windows.
    """
    window, image = windows_of(rules).starting_at(job.reference_s), tables.Image
    first_mjd, last_mjd = unix_to_mjd(window.start_s) - 1 / DAY_S, unix_to_mjd(window.end_s) + 1 / DAY_S
    near = select(image).where(image.mjd.between(first_mjd, last_mjd), image.processing == job.processing)
    tiles = []
    for row in session.scalars(near.order_by(image.mjd, image.id)):
        observed_s = mjd_to_unix(row.mjd)
        is_in_strip = strip_of_tile(row.ra_deg, row.dec_deg, observed_s) == strip_of_key(job.key)
        if window.contains(observed_s) and is_in_strip:
            tile = record_of(EpochTile, row, image_id=row.id, group=row.group_id, observed_at=observed_s)
            tiles.append(EpochTile(**{**vars(tile), "grade": row.verdict}))
    return tuple(tiles)


def _read_inputs(session: Session, job: tables.Job) -> set[tuple[str, float]] | None:
    """Group and time of the tile images that an epoch's mosaic was made from; None without a mosaic."""
    mosaic, member = tables.MosaicRow, tables.MosaicInput
    mosaic_id = session.scalar(select(mosaic.id).where(mosaic.job_id == job.id))
    inputs = select(member.group_id, member.image_created_at).where(member.mosaic_id == mosaic_id)
    return None if mosaic_id is None else {(group, at) for group, at in session.execute(inputs)}


def has_new_tiles(session: Session, job: tables.Job, rules: QueueRules) -> bool:
    """Return whether an epoch has tile images that its mosaic was not made from, or no mosaic.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    rules : with the windows.
    """
    inputs = _read_inputs(session, job)
    return inputs is None or any(
        (tile.group, tile.created_at) not in inputs for tile in find_tiles(session, job, rules)
    )


def find_retired_tiles(session: Session, job: tables.Job, rules: QueueRules) -> set[str]:
    """Return the groups whose images are in an epoch's mosaic and no longer in the store.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    rules : with the windows.
    """
    inputs = _read_inputs(session, job) or set()
    return {group for group, _ in inputs} - {tile.group for tile in find_tiles(session, job, rules)}


def is_outdated(session: Session, job: tables.Job, rules: QueueRules) -> bool:
    """Return whether a new mosaic would have more than the old one: new tile images, and all those of the old one.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    rules : with the windows.
    """
    return has_new_tiles(session, job, rules) and not find_retired_tiles(session, job, rules)


def find_waiting_tiles(session: Session, job: tables.Job, rules: QueueRules) -> tuple[str, ...]:
    """Return the keys of the tiles in an epoch's window that are neither imaged nor failed.

    The strip of a tile is known from its Measurement Set; one that is not converted yet may be of any strip.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    rules : with the windows.
    """
    window, tile, ms = windows_of(rules).starting_at(job.reference_s), tables.Job, tables.MeasurementSet
    half_s = rules.cadence_s / 2
    query = (
        select(tile, ms)
        .outerjoin(ms, ms.job_id == tile.id)
        .where(
            tile.kind == TILE.name, tile.processing == job.processing, tile.state.in_(UNDECIDED),
            tile.reference_s.between(window.start_s - half_s - 1, window.end_s - half_s + 1),
        )
        .order_by(tile.reference_s)
    )  # fmt: skip
    keys = []
    for row, converted in session.execute(query):
        middle_s = row.reference_s + half_s
        if not window.contains(middle_s):
            continue
        if converted is None or strip_of_tile(converted.ra_deg, converted.dec_deg, middle_s) == strip_of_key(job.key):
            keys.append(row.key)
    return tuple(keys)


def has_passed(session: Session, job: tables.Job, window: Window, rules: QueueRules, now: float) -> bool:
    """Return whether no further tile of a window is expected: a later one has arrived, or none has for a time.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of the epoch.
    window : of the epoch.
    rules : with the time.
    now : epoch seconds.
    """
    if job.processing != LIVE:
        return True
    tile, half_s = tables.Job, rules.cadence_s / 2
    live = (tile.kind == TILE.name, tile.processing == LIVE)
    later = select(tile.id).where(*live, tile.reference_s >= window.end_s - half_s).limit(1)
    if session.scalar(later) is not None:
        return True
    within = tile.reference_s.between(window.start_s - half_s, window.end_s - half_s)
    last = session.scalar(select(func.max(tile.created_at)).where(*live, within))
    return last is None or now - last >= rules.collection_timeout_s
