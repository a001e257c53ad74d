"""Files that could not be used: bad ones, missing ones, and those of another time than their group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.errors import BadFile, LeaseLost
from contimg.common.files.names import printable
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.settings.alerts import WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.files.groups import FileRecord, FileState, files_of
from contimg.store.files.sorting import Sorter, has_moved, quarantine
from contimg.store.jobs.kinds import LIVE, Stage, State
from contimg.store.jobs.leases import end_run, held_job
from contimg.store.jobs.records import Lease, Outcome, end_lease, find_job, requeue
from contimg.store.tables import record_of

MISSING = "the file is gone; put it back, and its group takes it in again"
_MISSING_CLASS = FileNotFoundError.__name__
# The correlator needs longer to start again; files that start less apart are of one run, and a clock is wrong.
RESTART_S = 30.0


class RejectedFiles(Repository):
    """Taking files out of their groups."""

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
            if row is None and lease is None and (row := _find_moved(session, path, reason, size)):
                row.path = str(path)
            if row is None:
                row = tables.SubbandFileRow(path=str(path), size=size, mtime=mtime, arrived_at=now)
                if file := SubbandFile.parse(path):
                    row.subband, row.time_s = file.subband, file.time_s
            if lease is not None:
                job = _held_conversion(session, lease, path)
                if row.group_id != job.key:
                    raise LeaseLost(f"{lease.label}: {path} is no longer of the group; it was not quarantined")
                if row.arrived_at > session.get_one(tables.StageRun, lease.run_id).started_at:
                    error = f"{path.name} was replaced while it was read"
                    _end_conversion(session, job, lease, error, now, State.PENDING)
                    return record_of(FileRecord, row)
                _end_conversion(session, job, lease, f"{path.name}: {reason}", now)
            else:
                live = find_job(session, row.group_id, lock=True) if row.group_id else None
                if live and live.state == State.PENDING and live.stage == Stage.CONVERT:
                    end_lease(live, State.COLLECTING, now)
            quarantine(session, row, reason, now)
            if size and mtime:
                row.size, row.mtime = size, mtime
            session.add(row)
            session.flush()
            return record_of(FileRecord, row)

    def mark_missing(self, paths: Sequence[Path], lease: Lease) -> bool:
        """Quarantine files of a group that are gone; its collection begins again, so that they have time to come back.

        Their size and time of modification are forgotten: unchanged or not, they are sorted again when they are back.

        Parameters
        ----------
        paths : of the files; those that are no longer of the group are left out.
        lease : the convert lease of the worker that could not find them; it ends without using up an attempt.

        Returns
        -------
        False, and the lease is still held, when files were missing in the last runs of the group, as many as a stage
        has attempts: this worker may lack a mount that the producer has.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        now, limit, run = self._database.clock(), self._database.rules.max_attempts, tables.StageRun
        with self._database.write_arrivals() as session:
            job = _held_conversion(session, lease, paths[0])
            earlier = select(run.error_class).where(run.job_id == job.id, run.id < lease.run_id)
            if list(session.scalars(earlier.order_by(run.id.desc()).limit(limit))) == [_MISSING_CLASS] * limit:
                return False
            rows = [row for row in files_of(session, job.key, FileState.PRESENT) if Path(row.path) in paths]
            if not rows:  # a scan has found them under another path meanwhile
                _end_conversion(session, job, lease, f"{paths[0]} has another path now", now, State.PENDING)
                return True
            for row in rows:
                row.state, row.reason, row.size, row.mtime = FileState.QUARANTINED, MISSING, 0, 0.0
            session.get_one(tables.Group, job.key).collecting_since = now
            text = f"{len(rows)} files are gone, the first is {paths[0]}; put them back, and their group takes them in"
            record_event(session, now, WARNING, job.key, text)
            _end_conversion(session, job, lease, text, now, error_class=_MISSING_CLASS)
            return True

    def missing(self) -> frozenset[Path]:
        """Return the paths of the files that `mark_missing` has marked and that are not back."""
        file = tables.SubbandFileRow
        query = select(file.path).where(file.state == FileState.QUARANTINED, file.mtime == 0.0)
        with self._database.read() as session:
            return frozenset(map(Path, session.scalars(query)))

    def regroup(self, starts_s: Mapping[Path, float], lease: Lease) -> tuple[str, ...]:
        """Sort the files of a group that are of another run of the correlator into groups by their own times.

        The run of the file that founded the group stays. A file is regrouped once: when it fits no better in its second
        group, its times are wrong.

        Parameters
        ----------
        starts_s : first integration of each file of the group, by path, seconds since 1970.
        lease : the convert lease of the worker that found them different; it ends without using up an attempt.

        Returns
        -------
        the groups that the files are in now; empty, and the lease is still held, when no file is of another run.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        now = self._database.clock()
        with self._database.write_arrivals() as session:
            job = _held_conversion(session, lease, next(iter(starts_s)))
            reference_s = session.get_one(tables.Group, job.key).reference_s
            present = {Path(row.path): row for row in files_of(session, job.key, FileState.PRESENT)}
            starts = {row: starts_s[path] for path, row in present.items() if path in starts_s}
            shifts_s = _shifts_from_founder(starts, reference_s)
            if not shifts_s:
                return ()
            files = [
                SubbandFile(Path(row.path), float(round(reference_s + shift_s)), row.subband or 0, row.size, row.mtime)
                for row, shift_s in shifts_s.items()
            ]
            sorter = Sorter(session, [file.time_s for file in files], self._database.rules, now)
            for row, file in zip(shifts_s, files, strict=True):
                row.group_id = None
                sorter.sort(row, file, except_group=job.key)
                if row.state != FileState.QUARANTINED:
                    row.reason = f"of another time than group {job.key}, where it was first"
            sorter.finish()
            groups = tuple(sorted({row.group_id for row in shifts_s if row.group_id}))
            text = (
                f"{len(files)} files begin {max(shifts_s.values(), key=abs):+.1f} s from the others, the first is "
                f"{files[0].path.name}: now in {', '.join(groups)} by their own time; was the correlator started again?"
            )
            record_event(session, now, WARNING, job.key, text)
            _end_conversion(session, job, lease, text, now)
            return groups


def _find_moved(session: Session, path: Path, reason: str, size: int) -> tables.SubbandFileRow | None:
    """Return the row of a quarantined file of this name and size without a group, whose directory was moved."""
    file, name = tables.SubbandFileRow, path.name
    quarantined = select(file).where(file.state == FileState.QUARANTINED, file.group_id.is_(None))
    alike = quarantined.where(file.size == size, file.reason == printable(reason))
    named = session.scalars(alike.where(file.path.endswith(f"/{name}", autoescape=True)))
    return next((row for row in named if has_moved(row, path)), None)


def _held_conversion(session: Session, lease: Lease, path: Path) -> tables.Job:
    """Return the locked job of a convert lease; LeaseLost when it has ended, ValueError for another stage."""
    if lease.stage != Stage.CONVERT:
        raise ValueError(f"only convert reads subband files, not {lease.stage}")
    job = held_job(session, lease)
    if job is None:
        raise LeaseLost(f"{lease.label}: the lease has ended; {path} stays in its group")
    return job


def _end_conversion(
    session: Session, job: tables.Job, lease: Lease, error: str, now: float, state: State = State.COLLECTING, *,
    error_class: str = BadFile.__name__,
) -> None:  # fmt: skip
    """End a conversion that could not use some files, without using up an attempt."""
    end_run(session, lease, Outcome.BAD_FILE, now, error=error, error_class=error_class)
    # Files join a group by its live job; a campaign continues with those that are left.
    requeue(job, state if job.processing == LIVE else State.PENDING, now)


def _shifts_from_founder(
    starts_s: Mapping[tables.SubbandFileRow, float], reference_s: float
) -> dict[tables.SubbandFileRow, float]:
    """Seconds from the start of the group's founder to that of each file of another run, in order of subband.

    The founder's name has the time of the group; without it the file that starts nearest to that time counts.
    """
    founder = min(starts_s, key=lambda row: (row.time_s != reference_s, abs(starts_s[row] - reference_s)), default=None)
    shifts_s = {row: start_s - starts_s[founder] for row, start_s in starts_s.items() if founder and row.reason is None}
    return {row: shift_s for row, shift_s in shifts_s.items() if abs(shift_s) >= RESTART_S}
