"""Files come in, groups fill up: everything that happens to a group before its first stage can run."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.errors import LeaseLost
from contimg.store import models
from contimg.store.database import Database
from contimg.store.events import INFO, WARNING, note
from contimg.store.leases import end_run, held
from contimg.store.records import Arrival, FileRecord, FileState, Lease, Outcome, Stage, State
from contimg.store.rows import end_lease, file_record, files_of, known_group, locked_group
from contimg.subbands import GroupInReach, SubbandName, founds_echo, nearest_group
from contimg.telescope import BAND

# A file of a group in one of these states can still be converted with the rest.
_OPEN = (State.COLLECTING, State.PENDING)


class Arrivals:
    """The way of files into groups, and of groups to `pending`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register_file(self, path: Path, size: int, mtime: float, name: SubbandName) -> Arrival:
        """Sort a finished file into its group. Safe to call again and again for the same file.

        A file that was set aside is reconsidered when its size (bytes) or mtime (epoch seconds) has changed. A file
        whose group has already been converted joins it as late: the operator hears of it and may redo the group.
        """
        with self._database.write_arrivals() as session:
            row = session.scalar(select(models.SubbandFile).where(models.SubbandFile.path == str(path)))
            if row is not None:
                unchanged = (row.size, row.mtime) == (size, mtime)
                if not unchanged:
                    row.size, row.mtime, row.arrived_at = size, mtime, self._database.clock()
                if unchanged or row.state != FileState.SET_ASIDE:
                    return Arrival(file_record(row), known=unchanged, became_pending=False)
            row = row or models.SubbandFile(path=str(path), size=size, mtime=mtime)
            row.subband, row.time_s, row.arrived_at = name.subband, name.time_s, self._database.clock()
            became_pending = self._sort_in(session, row, name)
            return Arrival(file_record(row), known=False, became_pending=became_pending)

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
                present = len(files_of(session, group.id, FileState.PRESENT))
                if present >= rules.min_subbands:
                    _make_pending(session, group, present, rules.expected_subbands, now)
                    pending.append(group.id)
                else:
                    group.error = _why_incomplete(session, group, present, rules.expected_subbands)
                    group.state, group.updated_at = State.FAILED, now
                    note(session, now, WARNING, group.id, f"failed: {group.error}")
                    failed.append(group.id)
        return tuple(pending), tuple(failed)

    def known_files(self) -> dict[Path, tuple[int, float]]:
        """Path to (size, mtime) of every file in the store: what a scan need not register again."""
        file = models.SubbandFile
        with self._database.read() as session:
            found = session.execute(select(file.path, file.size, file.mtime))
            return {Path(path): (size, mtime) for path, size, mtime in found}

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

    def _sort_in(self, session: Session, row: models.SubbandFile, name: SubbandName) -> bool:
        """Give a file its group, or set it aside; True when its group became pending by it."""
        now, rules = self._database.clock(), self._database.rules
        reach = _groups_in_reach(session, name.time_s, rules.group_tolerance_s)
        home = nearest_group(name, reach, rules.group_tolerance_s)
        wrong = None
        if name.subband >= BAND.subbands:
            wrong = f"subband {name.subband}: the band has 0 to {BAND.subbands - 1}"
        elif home is None and any(one.id == name.stamp for one in reach):
            row.group_id = name.stamp
            wrong = f"duplicate: group {name.stamp} has its subband {name.subband} from another file"
        if wrong:
            row.state, row.reason = FileState.SET_ASIDE, wrong
            session.add(row)
            note(session, now, WARNING, row.group_id, f"{Path(row.path).name} set aside: {wrong}")
            session.flush()
            return False
        if home is None:
            group = _new_group(name, founds_echo(name, reach, rules.group_tolerance_s), now)
            session.add(group)
            session.flush()
        else:
            group = known_group(session, home)
        row.group_id, row.state, row.reason = group.id, FileState.PRESENT, None
        session.add(row)
        became_pending = _admit(session, group, row, rules.expected_subbands, now)
        session.flush()
        return became_pending

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
            end_run(session, lease, Outcome.BAD_FILE, now, error=f"{Path(row.path).name}: {reason}")
            group.attempts -= 1
            end_lease(group, State.COLLECTING, now)
            return
        group = locked_group(session, row.group_id) if row.group_id else None
        if group is not None and group.state == State.PENDING and group.stage == Stage.CONVERT:
            end_lease(group, State.COLLECTING, now)


def _groups_in_reach(session: Session, time_s: float, tolerance_s: float) -> list[GroupInReach]:
    near = select(models.Group).where(models.Group.reference_s.between(time_s - tolerance_s, time_s + tolerance_s))
    groups = session.scalars(near).all()
    taken: dict[str, set[int]] = {group.id: set() for group in groups}
    files = select(models.SubbandFile).where(
        models.SubbandFile.group_id.in_(taken), models.SubbandFile.state != FileState.SET_ASIDE
    )
    for file in session.scalars(files):
        if file.group_id is not None and file.subband is not None:
            taken[file.group_id].add(file.subband)
    return [GroupInReach(group.id, group.reference_s, taken[group.id], group.echo) for group in groups]


def _new_group(name: SubbandName, echo: bool, now: float) -> models.Group:
    return models.Group(
        id=name.stamp,
        reference_s=name.time_s,
        echo=echo,
        state=State.COLLECTING,
        stage=Stage.CONVERT,
        collecting_since=now,
        created_at=now,
        updated_at=now,
    )


def _admit(session: Session, group: models.Group, row: models.SubbandFile, expected: int, now: float) -> bool:
    """Take a file into a group according to the group's state; True when that made the group pending."""
    timed_out = group.state == State.FAILED and group.stage == Stage.CONVERT and group.attempts == 0
    if timed_out:
        group.state, group.error, group.collecting_since = State.COLLECTING, None, now
        note(session, now, INFO, group.id, f"collecting again: {Path(row.path).name} came after the timeout")
    if group.state not in _OPEN or group.stage != Stage.CONVERT:
        row.state = FileState.LATE
        text = f"{Path(row.path).name} came after its group was {group.state}; `contimg groups retry {group.id}`"
        note(session, now, WARNING, group.id, f"{text} makes the group again with it")
        return False
    group.updated_at = now
    session.flush()
    present = len(files_of(session, group.id, FileState.PRESENT))
    if group.state == State.PENDING:
        group.partial = present < expected
        return False
    if present < expected:
        return False
    _make_pending(session, group, present, expected, now)
    return True


def _make_pending(session: Session, group: models.Group, present: int, expected: int, now: float) -> None:
    group.state, group.partial, group.error = State.PENDING, present < expected, None
    group.not_before = group.enqueued_at = None
    group.updated_at = now
    if group.partial:
        note(session, now, WARNING, group.id, f"partial: goes on with {present} of {expected} subbands")
    else:
        note(session, now, INFO, group.id, f"complete: {present} subbands")


def _why_incomplete(session: Session, group: models.Group, present: int, expected: int) -> str:
    """`incomplete, 11 of 16`, and what explains it."""
    why = f"incomplete, {present} of {expected}"
    aside = files_of(session, group.id, FileState.SET_ASIDE)
    if aside:
        why += f"; {len(aside)} set aside ({Path(aside[0].path).name}: {aside[0].reason})"
    if group.echo:
        why += "; founded by a duplicate: the group beside it already had this subband"
    return why
