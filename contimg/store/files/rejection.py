"""Files that a conversion could not use: bad ones, missing ones, and those of another time than their group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.errors import BadFile, LeaseLost
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.settings import QueueRules
from contimg.store import tables
from contimg.store.activity.events import WARNING, record_event
from contimg.store.files.groups import FileState, files_of
from contimg.store.files.sorting import Sorter
from contimg.store.jobs.kinds import LIVE, Stage, State
from contimg.store.jobs.leases import end_run, held_job
from contimg.store.jobs.records import Lease, Outcome, end_lease, find_job, requeue

_MISSING_CLASS = FileNotFoundError.__name__
MISSING = "the file is gone; put it back, and its group takes it in again"
# The correlator needs longer to start again; files that start less apart are of one run, and a clock is wrong.
RESTART_S = 30.0


def held_conversion(session: Session, lease: Lease, path: Path) -> tables.Job:
    """Return the locked row of the job of a convert lease.

    Parameters
    ----------
    session : of a transaction that writes.
    lease : as claimed.
    path : of the first file that the conversion could not use, for messages.

    Raises
    ------
    LeaseLost : the lease has ended.
    ValueError : it is of another stage than convert.
    """
    if lease.stage != Stage.CONVERT:
        raise ValueError(f"only convert reads subband files, not {lease.stage}")
    job = held_job(session, lease)
    if job is None:
        raise LeaseLost(f"{lease.label}: the lease has ended; {path} stays in its group")
    return job


def collect_again(
    session: Session, job: tables.Job, lease: Lease, error: str, now: float, *, error_class: str = BadFile.__name__
) -> None:
    """End a conversion that could not use some files, without using up an attempt; its group collects again.

    Parameters
    ----------
    session : of the caller's transaction.
    job : from `held_conversion`.
    lease : of the conversion.
    error : for operators.
    now : epoch seconds.
    error_class : what the run failed of.
    """
    end_run(session, lease, Outcome.BAD_FILE, now, error=error, error_class=error_class)
    # Files join a group by its live job; a campaign continues with those that are left.
    requeue(job, State.COLLECTING if job.processing == LIVE else State.PENDING, now)


def collect_without(session: Session, file: tables.SubbandFileRow, now: float) -> None:
    """Let the group of a file that was just quarantined collect again, if its conversion has not begun.

    Parameters
    ----------
    session : of the caller's transaction.
    file : row of the file.
    now : epoch seconds.
    """
    live = find_job(session, file.group_id, lock=True) if file.group_id else None
    if live is not None and live.state == State.PENDING and live.stage == Stage.CONVERT:
        end_lease(live, State.COLLECTING, now)


def was_replaced(session: Session, file: tables.SubbandFileRow, lease: Lease, now: float) -> bool:
    """Return whether a file has changed since the run that rejects it began; the job is then pending again.

    Parameters
    ----------
    session : of a transaction that writes.
    file : row of the file.
    lease : of the conversion.
    now : epoch seconds.
    """
    job, run = held_job(session, lease), session.get(tables.StageRun, lease.run_id)
    if job is None or run is None or file.group_id != job.key or file.arrived_at <= run.started_at:
        return False
    end_run(session, lease, Outcome.BAD_FILE, now, error=f"{Path(file.path).name} was replaced while it was read")
    requeue(job, State.PENDING, now)
    return True


def mark_missing(session: Session, paths: Sequence[Path], lease: Lease, rules: QueueRules, now: float) -> bool:
    """Quarantine files of a group that are gone; its collection begins again, so that they have time to come back.

    Their size and time of modification are forgotten: unchanged or not, they are sorted again when they are back.

    Parameters
    ----------
    session : of a transaction that writes.
    paths : of the files; those that are no longer of the group are left out.
    lease : of the conversion that could not find them.
    rules : with the number of attempts.
    now : epoch seconds.

    Returns
    -------
    False, and nothing was changed, when files were missing in the last runs of the group, as many as a stage has
    attempts: this worker may lack a mount that the producer has.
    """
    job, run = held_conversion(session, lease, paths[0]), tables.StageRun
    earlier = select(run.error_class).where(run.job_id == job.id, run.id < lease.run_id).order_by(run.id.desc())
    if list(session.scalars(earlier.limit(rules.max_attempts))) == [_MISSING_CLASS] * rules.max_attempts:
        return False
    rows = [row for row in files_of(session, job.key, FileState.PRESENT) if Path(row.path) in paths]
    if not rows:  # a scan has found them under another path meanwhile
        end_run(session, lease, Outcome.BAD_FILE, now, error=f"{paths[0]} has another path now")
        requeue(job, State.PENDING, now)
        return True
    for row in rows:
        row.state, row.reason, row.size, row.mtime = FileState.QUARANTINED, MISSING, 0, 0.0
    session.get_one(tables.Group, job.key).collecting_since = now
    text = f"{len(rows)} files are gone, the first is {paths[0]}; put them back, and the group takes them in again"
    record_event(session, now, WARNING, job.key, text)
    collect_again(session, job, lease, text, now, error_class=_MISSING_CLASS)
    return True


def missing_files(session: Session) -> list[str]:
    """Return the paths of the files that `mark_missing` has marked and that are not back.

    Parameters
    ----------
    session : of the caller's transaction.
    """
    file = tables.SubbandFileRow
    return list(session.scalars(select(file.path).where(file.state == FileState.QUARANTINED, file.mtime == 0.0)))


def regroup(
    session: Session, starts_s: Mapping[Path, float], lease: Lease, rules: QueueRules, now: float
) -> tuple[str, ...]:
    """Sort the files of a group that are of another run of the correlator into groups by their own times.

    The run of the file that founded the group stays. A file is regrouped once: when it fits no better in its second
    group, its times are wrong.

    Parameters
    ----------
    session : of a transaction that writes, in which no other process sorts files.
    starts_s : first integration of each file, by path, seconds since 1970.
    lease : of the conversion that found the times different.
    rules : of grouping.
    now : epoch seconds.

    Returns
    -------
    the groups that the files are in now; empty when no file is of another run, and nothing was changed.
    """
    job = held_conversion(session, lease, next(iter(starts_s)))
    reference_s = session.get_one(tables.Group, job.key).reference_s
    starts = {
        row: starts_s[Path(row.path)]
        for row in files_of(session, job.key, FileState.PRESENT)
        if Path(row.path) in starts_s
    }
    # The founder's name has the time of the group; without it the file that starts nearest to that time counts.
    founder = min(starts, key=lambda row: (row.time_s != reference_s, abs(starts[row] - reference_s)), default=None)
    shifts_s = {
        row: start_s - starts[founder]
        for row, start_s in starts.items()
        if founder and abs(start_s - starts[founder]) >= RESTART_S and row.reason is None
    }
    if not shifts_s:
        return ()
    files = [
        SubbandFile(Path(row.path), float(round(reference_s + shift_s)), row.subband or 0, row.size, row.mtime)
        for row, shift_s in shifts_s.items()
    ]
    sorter = Sorter(session, [file.time_s for file in files], rules, now)
    for row, file in zip(shifts_s, files, strict=True):
        row.group_id = None
        sorter.sort(row, file, except_group=job.key)
        if row.state != FileState.QUARANTINED:
            row.reason = f"of another time than group {job.key}, where it was first"
    sorter.finish()
    groups = tuple(sorted({row.group_id for row in shifts_s if row.group_id}))
    text = (
        f"{len(files)} files begin {max(shifts_s.values(), key=abs):+.1f} s from the others, the first is "
        f"{files[0].path.name}: sorted into {', '.join(groups)} by their own time; was the correlator started again?"
    )
    record_event(session, now, WARNING, job.key, text)
    collect_again(session, job, lease, text, now)
    return groups
