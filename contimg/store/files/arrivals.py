"""Files and groups: registering files, quarantining them, and ending the collection of a group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.errors import BadFile, LeaseLost
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
from contimg.store.files.sorting import Sorter, make_pending
from contimg.store.jobs.kinds import LIVE, Stage, State
from contimg.store.jobs.leases import end_run, held_job
from contimg.store.jobs.records import Lease, Outcome, end_lease, find_job, requeue
from contimg.store.tables import record_of


class Files(Repository):
    """Subband files and their groups."""

    def register(self, files: Sequence[SubbandFile]) -> tuple[Arrival, ...]:
        """Sort finished files into their groups, in order and in one transaction. Calling it again is harmless.

        A quarantined file is sorted again when its size (bytes) or mtime (epoch seconds) has changed. A file whose
        group was converted already joins it as late, with an event.

        Parameters
        ----------
        files : files that are written to no more, with the subband and the time in their names.

        Returns
        -------
        what became of each file, in the order of `files`.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write_arrivals() as session:
            path = tables.SubbandFileRow.path
            known = select(tables.SubbandFileRow).where(path.in_([str(file.path) for file in files]))
            rows = {row.path: row for row in session.scalars(known)}
            sorter = Sorter(session, [file.time_s for file in files if _is_to_sort(file, rows)], rules, now)
            arrivals = []
            for file in files:
                row = rows.get(str(file.path))
                unchanged = row is not None and (row.size, row.mtime) == (file.size, file.mtime)
                if row is not None and not _is_to_sort(file, rows):
                    if not unchanged:
                        row.size, row.mtime, row.arrived_at = file.size, file.mtime, now
                    arrivals.append((row, unchanged, False))
                    continue
                row = row or tables.SubbandFileRow(path=str(file.path))
                rows[row.path] = row
                row.size, row.mtime, row.arrived_at = file.size, file.mtime, now
                row.subband, row.time_s = file.subband, file.time_s
                arrivals.append((row, False, sorter.sort(row, file)))
            sorter.finish()
            return tuple(
                Arrival(record_of(FileRecord, row), known=unchanged, became_pending=pending)
                for row, unchanged, pending in arrivals
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
            if lease is not None and _was_replaced(session, row, lease, now):
                return record_of(FileRecord, row)
            is_known = row.state == FileState.QUARANTINED and row.reason == reason
            row.state, row.reason = FileState.QUARANTINED, reason
            if size and mtime:
                row.size, row.mtime = size, mtime
            session.add(row)
            if not is_known:
                record_event(session, now, WARNING, row.group_id, f"{path.name} quarantined: {reason}")
            _collect_again(session, row, reason, lease, now)
            session.flush()
            return record_of(FileRecord, row)

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


def _was_replaced(session: Session, file: tables.SubbandFileRow, lease: Lease, now: float) -> bool:
    """Whether a file has changed since the run that rejects it began; the job is then pending again."""
    job, run = held_job(session, lease), session.get(tables.StageRun, lease.run_id)
    if job is None or run is None or file.group_id != job.key or file.arrived_at <= run.started_at:
        return False
    end_run(session, lease, Outcome.BAD_FILE, now, error=f"{Path(file.path).name} was replaced while it was read")
    requeue(job, State.PENDING, now)
    return True


def _collect_again(session: Session, file: tables.SubbandFileRow, reason: str, lease: Lease | None, now: float) -> None:
    """Let the group of a file that was just quarantined collect again, unless it is converted."""
    if lease is not None:
        if lease.stage != Stage.CONVERT:
            raise ValueError(f"only convert reads subband files, not {lease.stage}")
        job = held_job(session, lease)
        if job is None or file.group_id != job.key:
            raise LeaseLost(f"{lease.label}: the lease has ended; {file.path} was not quarantined")
        error = f"{Path(file.path).name}: {reason}"
        end_run(session, lease, Outcome.BAD_FILE, now, error=error, error_class=BadFile.__name__)
        # Files join a group by its live job; a campaign continues with those that are left.
        requeue(job, State.COLLECTING if job.processing == LIVE else State.PENDING, now)
        return
    live = find_job(session, file.group_id, lock=True) if file.group_id else None
    if live is not None and live.state == State.PENDING and live.stage == Stage.CONVERT:
        end_lease(live, State.COLLECTING, now)


def _is_to_sort(file: SubbandFile, rows: Mapping[str, tables.SubbandFileRow]) -> bool:
    """Whether a file is new, or was quarantined and has changed since."""
    row = rows.get(str(file.path))
    return row is None or (row.state == FileState.QUARANTINED and (row.size, row.mtime) != (file.size, file.mtime))


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
