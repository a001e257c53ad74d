"""Files come in, groups fill up: everything that happens to a group before its first stage can run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.errors import BadFile, LeaseLost
from contimg.formats.uvh5.grouping import SubbandName
from contimg.store import tables as models
from contimg.store.activity.events import WARNING, note
from contimg.store.database import Database
from contimg.store.files.sorting import Sorter, make_pending
from contimg.store.jobs.leases import end_run, held
from contimg.store.records import Arrival, FileRecord, FileState, FoundFile, Lease, Outcome, Stage, State
from contimg.store.rows import end_lease, file_record, files_of, locked_group


class Arrivals:
    """The way of files into groups, and of groups to `pending`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_files(self, files: Sequence[FoundFile]) -> tuple[Arrival, ...]:
        """Sort finished files into their groups, in order and in one transaction. Safe to call again and again.

        A few hundred at a time cost little more than one. A file that was set aside is reconsidered when its size
        (bytes) or mtime (epoch seconds) has changed. A file whose group has already been converted joins it as late:
        the operator hears of it and may redo the group.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write_arrivals() as session:
            rows = _rows_of(session, [str(one.path) for one in files])
            sorter = Sorter(session, [one.name for one in files if _is_to_sort(one, rows)], rules, now)
            told = []
            for one in files:
                row = rows.get(str(one.path))
                unchanged = row is not None and (row.size, row.mtime) == (one.size, one.mtime)
                if row is not None and not _is_to_sort(one, rows):
                    if not unchanged:
                        row.size, row.mtime, row.arrived_at = one.size, one.mtime, now
                    told.append((row, unchanged, False))
                    continue
                row = row or models.SubbandFile(path=str(one.path))
                rows[row.path] = row
                row.size, row.mtime, row.arrived_at = one.size, one.mtime, now
                row.subband, row.time_s = one.name.subband, one.name.time_s
                told.append((row, False, sorter.sort(row, one.name)))
            sorter.finish()
            return tuple(Arrival(file_record(row), known=known, became_pending=pending) for row, known, pending in told)

    def set_aside(
        self, path: Path, reason: str, *, size: int = 0, mtime: float = 0.0, lease: Lease | None = None
    ) -> FileRecord:
        """Mark a file as not right, with its reason; the file itself is not touched.

        A group that has not been converted yet goes back to collecting without it, so that a replacement may join or
        the timeout decides. A worker that found the fault gives its convert lease, which ends here without counting
        an attempt; LeaseLost when it is no longer the holder. A path never seen before (a foreign file) is recorded
        with the size and mtime given, so that it is reconsidered when they change.
        """
        now = self._database.clock()
        with self._database.write_arrivals() as session:
            row = session.scalar(select(models.SubbandFile).where(models.SubbandFile.path == str(path)))
            if row is None:
                row = models.SubbandFile(path=str(path), size=size, mtime=mtime, arrived_at=now)
                name = SubbandName.parse(path)
                if name is not None:
                    row.subband, row.time_s = name.subband, name.time_s
            if lease is not None and self._replaced_meanwhile(session, row, lease, now):
                return file_record(row)
            again = row.state == FileState.SET_ASIDE and row.reason == reason
            row.state, row.reason = FileState.SET_ASIDE, reason
            if size and mtime:
                row.size, row.mtime = size, mtime
            session.add(row)
            if not again:
                note(session, now, WARNING, row.group_id, f"{path.name} set aside: {reason}")
            self._reopen(session, row, reason, lease, now)
            session.flush()
            return file_record(row)

    def check_timeouts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Decide on groups past the collection timeout: (those now pending and partial, those now failed)."""
        now, rules = self._database.clock(), self._database.rules
        overdue = (
            select(models.Group)
            .where(
                models.Group.state == State.COLLECTING,
                models.Group.collecting_since <= now - rules.collection_timeout_s,
            )
            .order_by(models.Group.reference_s)
            .with_for_update(skip_locked=True)
        )
        pending, failed = [], []
        with self._database.write_arrivals() as session:
            for group in session.scalars(overdue).all():
                _adopt_strays(session, group, rules.group_tolerance_s)
                present = len(files_of(session, group.id, FileState.PRESENT))
                if present >= rules.min_subbands:
                    make_pending(session, group, present, rules.expected_subbands, now)
                    pending.append(group.id)
                else:
                    group.error = _why_incomplete(session, group, present, rules.expected_subbands)
                    group.state, group.updated_at = State.FAILED, now
                    note(session, now, WARNING, group.id, f"failed: {group.error}")
                    failed.append(group.id)
        return tuple(pending), tuple(failed)

    def files(self, state: FileState | None = None, limit: int = 200) -> tuple[FileRecord, ...]:
        """Files, the last to arrive first; of one state if asked."""
        query = select(models.SubbandFile).order_by(models.SubbandFile.arrived_at.desc()).limit(limit)
        if state is not None:
            query = query.where(models.SubbandFile.state == state)
        with self._database.read() as session:
            return tuple(file_record(row) for row in session.scalars(query))

    def files_of(self, group: str) -> tuple[FileRecord, ...]:
        """All files of a group, whatever their state, in order of subband."""
        with self._database.read() as session:
            return tuple(file_record(row) for row in files_of(session, group))

    def _replaced_meanwhile(self, session: Session, row: models.SubbandFile, lease: Lease, now: float) -> bool:
        """Whether a file has changed since the run that complains about it began; the group is then pending again."""
        group, run = held(session, lease), session.get(models.StageRun, lease.run_id)
        if group is None or run is None or row.group_id != group.id or row.arrived_at <= run.started_at:
            return False
        end_run(session, lease, Outcome.BAD_FILE, now, error=f"{Path(row.path).name} was replaced while it was read")
        group.attempts -= 1
        end_lease(group, State.PENDING, now)
        group.enqueued_at = None
        return True

    def _reopen(self, session: Session, row: models.SubbandFile, reason: str, lease: Lease | None, now: float) -> None:
        """Let the group of a file that was just set aside collect again, if it has not been converted."""
        if lease is not None:
            if lease.stage != Stage.CONVERT:
                raise ValueError(f"only convert reads subband files, not {lease.stage}")
            group = held(session, lease)
            if group is None or row.group_id != group.id:
                raise LeaseLost(f"group {lease.group}: another worker holds it now; {row.path} was not set aside")
            error = f"{Path(row.path).name}: {reason}"
            end_run(session, lease, Outcome.BAD_FILE, now, error=error, error_class=BadFile.__name__)
            group.attempts -= 1
            end_lease(group, State.COLLECTING, now)
            return
        group = locked_group(session, row.group_id) if row.group_id else None
        if group is not None and group.state == State.PENDING and group.stage == Stage.CONVERT:
            end_lease(group, State.COLLECTING, now)


def _rows_of(session: Session, paths: Sequence[str]) -> dict[str, models.SubbandFile]:
    """The rows of these paths that the store has."""
    file = models.SubbandFile
    return {row.path: row for row in session.scalars(select(file).where(file.path.in_(paths)))}


def _is_to_sort(one: FoundFile, rows: Mapping[str, models.SubbandFile]) -> bool:
    """Whether a file is new, or was set aside and has changed since."""
    row = rows.get(str(one.path))
    return row is None or (row.state == FileState.SET_ASIDE and (row.size, row.mtime) != (one.size, one.mtime))


def _adopt_strays(session: Session, group: models.Group, tolerance_s: float) -> None:
    """Files that were set aside before they could be sorted, by their name's time: they explain what is missing."""
    file = models.SubbandFile
    near = file.time_s.between(group.reference_s - tolerance_s, group.reference_s + tolerance_s)
    strays = update(file).where(file.state == FileState.SET_ASIDE, file.group_id.is_(None), near)
    session.execute(strays.values(group_id=group.id))


def _why_incomplete(session: Session, group: models.Group, present: int, expected: int) -> str:
    """`incomplete, 11 of 16`, and what explains it."""
    why = f"incomplete, {present} of {expected}"
    aside = files_of(session, group.id, FileState.SET_ASIDE)
    if aside:
        why += f"; {len(aside)} set aside ({Path(aside[0].path).name}: {aside[0].reason})"
    if group.echo:
        why += "; founded by a duplicate: the group beside it already had this subband"
    return why
