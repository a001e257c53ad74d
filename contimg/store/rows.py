"""Finding and recording group and file rows inside a transaction: what arrivals, leases and queue share."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.errors import BadInput
from contimg.store import tables as models
from contimg.store.records import FileRecord, FileState, GroupRecord, Outcome, Stage, State, record_of


def locked_group(session: Session, group: str) -> models.Group | None:
    """A group's row, held until the transaction ends (PostgreSQL; on SQLite the transaction itself holds all)."""
    session.flush()  # populate_existing would overwrite what is not yet written
    return session.get(models.Group, group, with_for_update=True, populate_existing=True)


def known_group(session: Session, group: str) -> models.Group:
    """A group's row, held as by `locked_group`; raises BadInput when there is none of that name."""
    row = locked_group(session, group)
    if row is None:
        raise BadInput(f"group {group}: not in the store; `contimg groups list` shows those that are")
    return row


def files_of(session: Session, group: str, *states: FileState) -> list[models.SubbandFile]:
    """The files of a group in these states (all when none is given), in order of subband."""
    query = select(models.SubbandFile).where(models.SubbandFile.group_id == group)
    if states:
        query = query.where(models.SubbandFile.state.in_(states))
    return list(session.scalars(query.order_by(models.SubbandFile.subband, models.SubbandFile.id)))


def end_lease(row: models.Group, state: State, now: float) -> None:
    """Take the lease off a group and put it in a state. The fence stays, so the old holder is refused."""
    row.state, row.updated_at = state, now
    row.lease_owner = row.lease_token = row.lease_expires_at = None


def file_record(row: models.SubbandFile) -> FileRecord:
    """The record of a file's row."""
    return record_of(FileRecord, row)


def group_record(row: models.Group, subbands: Iterable[int | None]) -> GroupRecord:
    """The record of a group's row with the subbands it has."""
    return record_of(GroupRecord, row, subbands=tuple(sorted(one for one in subbands if one is not None)))


def subband_paths(rows: Iterable[models.SubbandFile]) -> dict[int, Path]:
    """Subband number to path."""
    return {row.subband: Path(row.path) for row in rows if row.subband is not None}


def supersede_runs(session: Session, group: str, start: Stage) -> None:
    """What was committed from a stage on no longer stands: it is made again."""
    again = [stage for stage in Stage if not stage.precedes(start)]
    run = models.StageRun
    committed = update(run).where(run.group_id == group, run.stage.in_(again), run.outcome == Outcome.COMMITTED)
    session.execute(committed.values(outcome=Outcome.SUPERSEDED))
