"""Jobs, leases and stage runs: the frozen records, and the rows inside a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.formats.records import NO_UNIT, GroupId, about
from contimg.store import tables
from contimg.store.jobs.kinds import CAMPAIGN_PRIORITY, LIVE, LIVE_PRIORITY, TILE, JobKind, Stage, State, job_label

JobRef = int | str
"""A job's id; or the id of a group, which stands for the live job of its tile."""

PAUSED = "paused"
DISK_WATCH = "the disk watch"
"""Author of a pause because a disk is full. The archive continues then: its copies let retention free space."""


class Outcome(StrEnum):
    """How one attempt at a stage ended."""

    COMMITTED = "committed"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    BAD_FILE = "bad_file"


class Refusal(StrEnum):
    """Why a claim was refused. After DONE the chain of messages continues; after the others it ends."""

    UNKNOWN = "unknown job"
    PAUSED = "paused"
    NOT_READY = "not ready"
    LEASED = "leased elsewhere"
    WAITING = "waiting to be tried again"
    DONE = "already done"
    ENDED = "failed or discarded"


@dataclass(frozen=True)
class Refused:
    """A claim that was not granted: the reason and its text."""

    reason: Refusal
    detail: str


@dataclass(frozen=True)
class Lease:
    """The right to run one stage of one job until `expires_at` (epoch seconds, extended by heartbeats).

    Attributes
    ----------
    key : what the job works on; the id of the group for a tile.
    processing : `live`, or the name of a campaign.
    token, fence : checked at the commit.
    attempt : 1 for the first attempt at this stage.
    partial : the group lacks subbands.
    files : subband number to path, for the convert stage (empty for the others).
    """

    job_id: int
    key: str
    stage: Stage
    owner: str
    token: str
    fence: int
    attempt: int
    expires_at: float
    run_id: int
    kind: str = TILE.name
    processing: str = LIVE
    partial: bool = False
    files: Mapping[int, Path] = field(default_factory=dict, compare=False)

    @property
    def group(self) -> str:
        """The id of the group of a tile's job; the key of another kind."""
        return self.key

    @property
    def label(self) -> str:
        """The job in a message."""
        return job_label(self.kind, self.key, self.processing)


@dataclass(frozen=True)
class RunFigures:
    """The cost of one run of a stage. Anything not known stays None."""

    seconds: Annotated[float | None, about("Duration", "s", 31.0)] = None
    peak_rss_bytes: Annotated[int | None, about("Largest memory in use", "bytes", 1600000000)] = None
    bytes_read: Annotated[int | None, about("Read from disk", "bytes", 5200000000)] = None
    bytes_written: Annotated[int | None, about("Written to disk", "bytes", 5200000000)] = None
    core_s: Annotated[float | None, about("Time of processor cores, children included", "core seconds", 58.0)] = None


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """The columns of a row of jobs that a group shows as well. Times are epoch seconds.

    `reference_s` is the time of observation.
    """

    reference_s: Annotated[float, about("Time of observation, seconds since 1970, UTC", "s", 1771729445.0)]
    state: Annotated[State, about("State of the job", example="completed")]
    stage: Annotated[Stage, about("The next stage to run, or the last one", example="image")]
    attempts: Annotated[int, about("Attempts at this stage", "attempts", 1)]
    lease_owner: Annotated[
        str | None, about("Worker that holds the lease; null for none", example="worker-image@lxd110h03:4711")
    ]
    lease_expires_at: Annotated[float | None, about("When the lease ends unless it is extended")]
    not_before: Annotated[float | None, about("When the stage is tried again after an error")]
    enqueued_at: Annotated[float | None, about("When its messages were last sent")]
    error: Annotated[str | None, about("The last error", example="declination differs by 0.7 deg between subbands")]
    created_at: Annotated[float, about("When its first file arrived")]
    updated_at: Annotated[float, about("When it last changed")]
    completed_at: Annotated[float | None, about("When its last stage was committed")]

    @property
    def observed_at(self) -> Annotated[float, about("Time of observation")]:
        """Time of observation, epoch seconds."""
        return self.reference_s


@dataclass(frozen=True, kw_only=True)
class JobRecord(JobProgress):
    """A row of jobs."""

    id: int
    kind: str
    key: str
    processing: str
    priority: int


@dataclass(frozen=True, kw_only=True)
class StageRunRecord(RunFigures):
    """A row of stage_runs with its figures; `group` is the key of its job."""

    id: Annotated[int, about("Number of the attempt in the store", NO_UNIT, 512)]
    job_id: Annotated[int, about("Number of the job in the store", NO_UNIT, 171)]
    group: GroupId
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    stage: Annotated[Stage, about("The stage", example="calibrate")]
    attempt: Annotated[int, about("1 for the first attempt at this stage", "attempts", 1)]
    owner: Annotated[str, about("Worker that ran it", example="worker-calibrate@lxd110h03:4711")]
    task_id: Annotated[str | None, about("Id of the Celery task", example="5c1f0f3e-6f4a-4d5e-8a3f-1b2c3d4e5f60")]
    started_at: Annotated[float, about("When it began")]
    ended_at: Annotated[float | None, about("When it ended; null while it runs")]
    outcome: Annotated[Outcome | None, about("How it ended; null while it runs", example="committed")]
    error: Annotated[str | None, about("Why it failed", example="the CASA process was killed (signal 9)")]
    error_class: Annotated[str | None, about("Class of the error", example="Transient")]


def find_job(session: Session, job: JobRef, *, lock: bool = False) -> tables.Job | None:
    """Return the row of a job, or None.

    SQLite locks the whole database for a transaction that writes; PostgreSQL locks the row.

    Parameters
    ----------
    session : of the caller's transaction.
    job : id of the job, or of the group of a live tile.
    lock : let no other transaction change the row until this one ends.
    """
    row = tables.Job
    if isinstance(job, int):
        query = select(row).where(row.id == job)
    else:
        query = select(row).where(row.kind == TILE.name, row.key == job, row.processing == LIVE)
    if lock:
        session.flush()  # populate_existing would overwrite what is not yet written
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalar(query)


def jobs_in_progress() -> Select[tables.Job, tables.StageRun]:
    """The query of jobs in progress, each with its present run."""
    job, run = tables.Job, tables.StageRun
    query = select(job, run).join(run, (run.job_id == job.id) & (run.fence == job.fence))
    return query.where(job.state == State.IN_PROGRESS)


def require_job(session: Session, job: JobRef) -> tables.Job:
    """Return the locked row of a job.

    Parameters
    ----------
    session : of a transaction that writes.
    job : id of the job, or of the group of a live tile.

    Raises
    ------
    BadInput : there is no such job.
    """
    row = find_job(session, job, lock=True)
    if row is None:
        label = f"job {job}" if isinstance(job, int) else f"group {job}"
        raise BadInput(f"{label}: not in the store; `contimg groups list` shows those that are")
    return row


def new_job(kind: JobKind, key: str, processing: str, reference_s: float, state: State, now: float) -> tables.Job:
    """Make the row of a job at its first stage; live jobs go before those of campaigns.

    Parameters
    ----------
    kind : of job; gives the first stage.
    key : what the job works on; the id of the group for a tile.
    processing : `live`, or the name of a campaign.
    reference_s : time of observation, epoch seconds.
    state : `collecting` for a tile that waits for its files, otherwise `pending`.
    now : epoch seconds.

    Returns
    -------
    the row, not yet added to a session.
    """
    return tables.Job(
        kind=kind.name,
        key=key,
        processing=processing,
        priority=LIVE_PRIORITY if processing == LIVE and kind.is_sent else CAMPAIGN_PRIORITY,
        reference_s=reference_s,
        state=state,
        stage=kind.stages[0],
        attempts=0,
        created_at=now,
        updated_at=now,
    )


def end_lease(job: tables.Job, state: State, now: float) -> None:
    """Remove the lease of a job and set its state. The fence stays, so the old holder is refused.

    Parameters
    ----------
    job : locked row of the job.
    state : its next state.
    now : epoch seconds.
    """
    job.state, job.updated_at = state, now
    job.lease_owner = job.lease_token = job.lease_expires_at = None


def requeue(job: tables.Job, state: State, now: float) -> None:
    """Remove the lease of a job and set its state; the attempt is not used up, and a message is sent again.

    Parameters
    ----------
    job : locked row of a job in progress.
    state : its next state.
    now : epoch seconds.
    """
    end_lease(job, state, now)
    job.attempts -= 1
    job.enqueued_at = None


def supersede_runs(session: Session, job: tables.Job, start: Stage) -> None:
    """Mark the committed runs of a job from a stage on as superseded, because these stages run again.

    Parameters
    ----------
    session : of the caller's transaction.
    job : row of the job.
    start : the first stage that runs again.
    """
    run = tables.StageRun
    committed = (run.job_id == job.id, run.stage.in_(start.remaining), run.outcome == Outcome.COMMITTED)
    session.execute(update(run).where(*committed).values(outcome=Outcome.SUPERSEDED))


def pause_switch(session: Session) -> tables.Control | None:
    """Return the switch that pauses the stream if it is on, otherwise None.

    Parameters
    ----------
    session : of the caller's transaction.
    """
    switch = session.get(tables.Control, PAUSED)
    return switch if switch is not None and switch.value == "1" else None
