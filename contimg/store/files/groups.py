"""Groups and their files: the records, and the rows inside a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from sqlalchemy import ColumnElement, Select, and_, func, not_, or_, select
from sqlalchemy.orm import Session

from contimg.formats.records import NO_UNIT, GroupId, about
from contimg.store import tables
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.jobs.records import JobProgress
from contimg.store.tables import record_of


class FileState(StrEnum):
    """State of a subband file: part of its group, too late for it, or quarantined with a reason."""

    PRESENT = "present"
    LATE = "late"
    QUARANTINED = "quarantined"


class GroupOrder(StrEnum):
    """What a list of groups is sorted by."""

    OBSERVED = "observed"
    UPDATED = "updated"


@dataclass(frozen=True)
class FileRecord:
    """A row of subband_files."""

    path: Annotated[
        Path, about("The file on the pipeline's machine", example="/data/incoming/2026-02-22T03:04:05_sb03.hdf5")
    ]
    group: Annotated[
        str | None, about("Id of its group; null for a file that belongs to none", example="2026-02-22T03:04:05")
    ]
    subband: Annotated[int | None, about("Number of the subband, 0 to 15", "subband number", 3)]
    state: Annotated[FileState, about("Part of its group, late for it, or quarantined", example="present")]
    reason: Annotated[str | None, about("Why it is quarantined", example="truncated: 12.1 of 27.3 MB")]
    size: Annotated[int, about("Size", "bytes", 27300000)]
    mtime: Annotated[float, about("Last change of the file, seconds since 1970, UTC", "s", 1771729760.0)]
    arrived_at: Annotated[float, about("When it was registered")]

    @property
    def modified_at(self) -> Annotated[float, about("Last change of the file")]:
        """Last change of the file, epoch seconds."""
        return self.mtime


@dataclass(frozen=True)
class Arrival:
    """Result of registering a file.

    `known`: it was in the store already, unchanged. `became_pending`: this file completed its group, so the
    dispatcher has a job to send.
    """

    file: FileRecord
    known: bool
    became_pending: bool


@dataclass(frozen=True, kw_only=True)
class GroupRecord(JobProgress):
    """A row of groups with its usable subbands and its tile's live job."""

    id: GroupId
    job_id: Annotated[int, about("Number of its tile's live job in the store", NO_UNIT, 171)]
    partial: Annotated[bool, about("Whether it was or is processed without some subbands", example=False)]
    collecting_since: Annotated[float, about("When it last began to wait for files")]
    subbands: Annotated[tuple[int, ...], about("Subbands with a usable file", "subband numbers", [0, 1, 2, 3])] = ()


@dataclass(frozen=True, kw_only=True)
class GroupFilter:
    """Conditions on groups, for lists and counts: a group is selected if all that are not None hold.

    Attributes
    ----------
    state : state of the tile's live job.
    since_s, until_s : limits of the time of observation, epoch seconds; the second is excluded.
    partial : whether it was or is processed without some subbands.
    incomplete : whether it has fewer usable subbands than a complete group, or was processed with fewer.
    ids : ids of groups.
    """

    state: State | None = None
    since_s: float | None = None
    until_s: float | None = None
    partial: bool | None = None
    incomplete: bool | None = None
    ids: tuple[str, ...] | None = None

    def conditions(self, expected: int) -> list[ColumnElement[bool]]:
        """Return the conditions on rows of `groups_with_jobs`.

        Parameters
        ----------
        expected : number of subbands of a complete group.
        """
        group, job = tables.Group, tables.Job
        conditions = [
            None if self.state is None else job.state == self.state,
            None if self.since_s is None else job.reference_s >= self.since_s,
            None if self.until_s is None else job.reference_s < self.until_s,
            None if self.partial is None else group.partial == self.partial,
            None if self.ids is None else group.id.in_(self.ids),
        ]
        if self.incomplete is not None:
            file = tables.SubbandFileRow
            usable = select(func.count()).where(file.group_id == group.id, file.state != FileState.QUARANTINED)
            # `partial` is set when the collection ends; before, and in groups that never were complete, files count.
            ended = job.state.in_((State.PENDING, State.IN_PROGRESS, State.COMPLETED))
            is_short = or_(group.partial == True, and_(not_(ended), usable.scalar_subquery() < expected))  # noqa: E712
            conditions.append(is_short if self.incomplete else not_(is_short))
        return [condition for condition in conditions if condition is not None]


def groups_with_jobs() -> Select[tables.Group, tables.Job]:
    """The query of groups, each with its tile's live job."""
    group, job = tables.Group, tables.Job
    return select(group, job).join(job, (job.key == group.id) & (job.kind == TILE.name) & (job.processing == LIVE))


def group_records(session: Session, query: Select[tables.Group, tables.Job]) -> tuple[GroupRecord, ...]:
    """Make the records of the groups of a query, each with its usable subbands.

    Parameters
    ----------
    session : of the caller's transaction.
    query : from `groups_with_jobs`, with conditions and an order.
    """
    rows = session.execute(query).all()
    file = tables.SubbandFileRow
    usable = select(file.group_id, file.subband).where(
        file.group_id.in_([group.id for group, _ in rows]), file.state != FileState.QUARANTINED
    )
    subbands: dict[str, list[int]] = {group.id: [] for group, _ in rows}
    for group_id, subband in session.execute(usable):
        if group_id is not None and subband is not None:
            subbands[group_id].append(subband)
    return tuple(
        record_of(
            GroupRecord,
            job,
            id=group.id,
            job_id=job.id,
            partial=group.partial,
            collecting_since=group.collecting_since,
            subbands=tuple(sorted(subbands[group.id])),
        )
        for group, job in rows
    )


def files_of(session: Session, group: str, *states: FileState) -> list[tables.SubbandFileRow]:
    """Return the rows of the files of a group, in order of subband.

    Parameters
    ----------
    session : of the caller's transaction.
    group : id of the group.
    states : only files in these states; none to return all.
    """
    query = select(tables.SubbandFileRow).where(tables.SubbandFileRow.group_id == group)
    if states:
        query = query.where(tables.SubbandFileRow.state.in_(states))
    return list(session.scalars(query.order_by(tables.SubbandFileRow.subband, tables.SubbandFileRow.id)))


def claim_files(
    session: Session, group: str, expected: int, processing: str = LIVE
) -> tuple[Mapping[int, Path], bool]:  # fmt: skip
    """Return the files that a conversion reads, and mark them as part of their group, late ones included.

    The conversion of a campaign changes neither the files nor the group.

    Parameters
    ----------
    session : of the caller's transaction, which writes.
    group : id of the group; whether it is partial is stored.
    expected : number of subbands of a complete group.
    processing : of the job.

    Returns
    -------
    paths by subband, and whether the group is partial.
    """
    files = files_of(session, group, FileState.PRESENT, FileState.LATE)
    paths = {file.subband: Path(file.path) for file in files if file.subband is not None}
    if processing == LIVE:
        for file in files:
            file.state = FileState.PRESENT
        session.get_one(tables.Group, group).partial = len(paths) < expected
    return paths, len(paths) < expected
