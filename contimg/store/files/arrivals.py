"""Files and groups: registering files, quarantining them, and ending the collection of a group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.errors import LeaseLost
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.store import tables
from contimg.store.activity.events import WARNING, record_event
from contimg.store.database import Repository, order_by_key
from contimg.store.files.groups import (
    Arrival,
    FileRecord,
    FileState,
    GroupOrder,
    GroupRecord,
    files_of,
    group_records,
    groups_with_jobs,
)
from contimg.store.files.rejection import (
    collect_again,
    collect_without,
    held_conversion,
    mark_missing,
    missing_files,
    regroup,
    was_replaced,
)
from contimg.store.files.sorting import Sorter, make_pending, quarantine
from contimg.store.jobs.kinds import State
from contimg.store.jobs.records import Lease
from contimg.store.tables import record_of


class Files(Repository):
    """Subband files and their groups."""

    def register(self, files: Sequence[SubbandFile]) -> tuple[Arrival, ...]:
        """Sort finished files into their groups, in order and in one transaction. Calling it again is harmless.

        A quarantined file is sorted again when its size (bytes) or mtime (epoch seconds) has changed. A file whose
        group was converted already joins it as late, and one that changes afterwards stays in it, each with an event.
        A file whose directory was moved keeps its group.

        Parameters
        ----------
        files : files that are written to no more, with the subband and the time in their names.

        Returns
        -------
        what became of each file, in the order of `files`.
        """
        if not files:
            return ()
        now, rules, path = self._database.clock(), self._database.rules, tables.SubbandFileRow.path
        with self._database.write_arrivals() as session:
            known = select(tables.SubbandFileRow).where(path.in_([str(file.path) for file in files]))
            rows = {row.path: row for row in session.scalars(known)}
            changed = [file for file in files if not _is_recorded(file, rows)]
            sorter = Sorter(session, [file.time_s for file in changed], rules, now)
            arrivals = []
            for file in files:
                if _is_recorded(file, rows):
                    arrivals.append((rows[str(file.path)], True, False))
                    continue
                row, is_complete = sorter.record(rows.get(str(file.path)), file)
                rows[row.path] = row
                arrivals.append((row, False, is_complete))
            sorter.finish()
            return tuple(
                Arrival(record_of(FileRecord, row), known=is_known, became_pending=is_complete)
                for row, is_known, is_complete in arrivals
            )

    def quarantine(
        self, path: Path, reason: str, *, size: int = 0, mtime: float = 0.0, lease: Lease | None = None
    ) -> FileRecord:
        """Quarantine a file with a reason; the file itself is not changed.

        A group that is not yet converted collects again without the file, so that a replacement may join it or the
        timeout decides. A file that was replaced since the run of the lease began is not quarantined: its job is
        pending again.

        Parameters
        ----------
        path : of the file; one that is not in the store is added.
        reason : for operators.
        size, mtime : bytes and epoch seconds; the file is sorted again when they change.
        lease : the convert lease of a worker that found the fault; it ends without using up an attempt.

        Returns
        -------
        the file as it is then in the store.

        Raises
        ------
        LeaseLost : the lease has ended, or the file is not of its group.
        ValueError : the lease is of another stage than convert.
        """
        now = self._database.clock()
        with self._database.write_arrivals() as session:
            row = session.scalar(select(tables.SubbandFileRow).where(tables.SubbandFileRow.path == str(path)))
            if row is None:
                row = tables.SubbandFileRow(path=str(path), size=size, mtime=mtime, arrived_at=now)
                if file := SubbandFile.parse(path):
                    row.subband, row.time_s = file.subband, file.time_s
            if lease is not None:
                if was_replaced(session, row, lease, now):
                    return record_of(FileRecord, row)
                job = held_conversion(session, lease, path)
                if row.group_id != job.key:
                    raise LeaseLost(f"{lease.label}: {path} is no longer of the group; it was not quarantined")
                collect_again(session, job, lease, f"{path.name}: {reason}", now)
            quarantine(session, row, reason, now)
            if size and mtime:
                row.size, row.mtime = size, mtime
            session.add(row)
            if lease is None:
                collect_without(session, row, now)
            session.flush()
            return record_of(FileRecord, row)

    def mark_missing(self, paths: Sequence[Path], lease: Lease) -> bool:
        """Record that files of a group are gone, as `contimg.store.files.rejection.mark_missing` does.

        Parameters
        ----------
        paths : of the files.
        lease : the convert lease of the worker that could not find them; it ends without using up an attempt.

        Returns
        -------
        False when that happened too often to this group: the lease is then still held.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        with self._database.write_arrivals() as session:
            return mark_missing(session, paths, lease, self._database.rules, self._database.clock())

    def missing(self) -> frozenset[Path]:
        """Return the paths of the files that were marked missing and are not back."""
        with self._database.read() as session:
            return frozenset(map(Path, missing_files(session)))

    def regroup(self, starts_s: Mapping[Path, float], lease: Lease) -> tuple[str, ...]:
        """Sort files of another time again, as `contimg.store.files.rejection.regroup` does.

        Parameters
        ----------
        starts_s : first integration of each file of the group, by path, seconds since 1970.
        lease : the convert lease of the worker that found them different; it ends without using up an attempt.

        Returns
        -------
        the groups that the files are in now; empty when no file is of another run: the lease is then still held.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        with self._database.write_arrivals() as session:
            return regroup(session, starts_s, lease, self._database.rules, self._database.clock())

    def check_timeouts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """End the collections that are past their timeout: (groups now pending, groups now failed)."""
        now, rules = self._database.clock(), self._database.rules
        overdue = (
            groups_with_jobs()
            .where(
                tables.Job.state == State.COLLECTING, tables.Group.collecting_since <= now - rules.collection_timeout_s
            )
            .order_by(tables.Job.reference_s)
            .with_for_update(skip_locked=True)
        )
        pending, failed = [], []
        with self._database.write_arrivals() as session:
            for group, job in session.execute(overdue).all():
                _adopt_strays(session, group, rules.group_tolerance_s)
                present = len(files_of(session, group.id, FileState.PRESENT))
                if present >= rules.min_subbands:
                    make_pending(session, group, job, present, rules.expected_subbands, now)
                    pending.append(group.id)
                else:
                    job.error = _why_incomplete(session, group, present, rules.expected_subbands)
                    job.state, job.updated_at = State.FAILED, now
                    record_event(session, now, WARNING, group.id, f"failed: {job.error}")
                    failed.append(group.id)
        return tuple(pending), tuple(failed)

    def group(self, group: str) -> GroupRecord | None:
        """Return a group by its id, or None.

        Parameters
        ----------
        group : id of the group, its reference time, `YYYY-MM-DDTHH:MM:SS`.
        """
        with self._database.read() as session:
            return next(iter(group_records(session, groups_with_jobs().where(tables.Group.id == group))), None)

    def groups(
        self,
        state: State | None = None,
        limit: int = 50,
        *,
        partial_only: bool = False,
        since_s: float | None = None,
        until_s: float | None = None,
        order: GroupOrder = GroupOrder.OBSERVED,
        ascending: bool = False,
        after: tuple[float, str] | None = None,
    ) -> tuple[GroupRecord, ...]:
        """Groups, the latest first.

        Parameters
        ----------
        state, partial_only : only groups in this state, only partial ones.
        since_s, until_s : only groups observed between these times, epoch seconds.
        order, ascending : what to sort by.
        after : only groups after this key, the order's time and the id; a page's last group gives that of the next.
        """
        group, job = tables.Group, tables.Job
        column = {GroupOrder.OBSERVED: job.reference_s, GroupOrder.UPDATED: job.updated_at}[order]
        query = order_by_key(groups_with_jobs(), column, job.key, ascending, after).limit(limit)
        if state is not None:
            query = query.where(job.state == state)
        if partial_only:
            query = query.where(group.partial == True)  # noqa: E712 (SQL)
        if since_s is not None:
            query = query.where(job.reference_s >= since_s)
        if until_s is not None:
            query = query.where(job.reference_s < until_s)
        with self._database.read() as session:
            return group_records(session, query)

    def latest(self, state: FileState | None = None, limit: int = 200) -> tuple[FileRecord, ...]:
        """Return the files that arrived last, the last one first.

        Parameters
        ----------
        state : only files in this state; None for any.
        limit : largest number of files.
        """
        file = tables.SubbandFileRow
        query = select(file).order_by(file.arrived_at.desc()).limit(limit)
        return self._fetch(FileRecord, query if state is None else query.where(file.state == state))

    def of_group(self, group: str) -> tuple[FileRecord, ...]:
        """Return all files of a group, whatever their state, in order of subband.

        Parameters
        ----------
        group : id of the group.
        """
        with self._database.read() as session:
            return tuple(record_of(FileRecord, row) for row in files_of(session, group))


def _is_recorded(file: SubbandFile, rows: Mapping[str, tables.SubbandFileRow]) -> bool:
    """Whether the store has a file with its present size and time of modification."""
    row = rows.get(str(file.path))
    return row is not None and (row.size, row.mtime) == (file.size, file.mtime)


def _adopt_strays(session: Session, group: tables.Group, tolerance_s: float) -> None:
    """Give a group the files quarantined before they were sorted, by the time in their name: they explain a gap."""
    file = tables.SubbandFileRow
    near = file.time_s.between(group.reference_s - tolerance_s, group.reference_s + tolerance_s)
    strays = update(file).where(file.state == FileState.QUARANTINED, file.group_id.is_(None), near)
    session.execute(strays.values(group_id=group.id))


def _why_incomplete(session: Session, group: tables.Group, present: int, expected: int) -> str:
    """`incomplete, 11 of 16`, and the reasons."""
    text = f"incomplete, {present} of {expected}"
    quarantined = files_of(session, group.id, FileState.QUARANTINED)
    if quarantined:
        text += f"; {len(quarantined)} quarantined ({Path(quarantined[0].path).name}: {quarantined[0].reason})"
    if group.echo:
        text += "; began with a duplicate: the group beside it already had this subband"
    return text
