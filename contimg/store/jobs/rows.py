"""Rows of jobs inside a transaction: find and lock one, end its lease, supersede its runs."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.errors import BadInput
from contimg.store import tables
from contimg.store.jobs.kinds import LIVE, TILE, Stage, State
from contimg.store.jobs.records import Outcome

JobRef = int | str
"""A job's id; or the id of a group, which stands for the live job of its tile."""

PAUSED = "paused"


def find_job(session: Session, job: JobRef, *, lock: bool = False) -> tables.Job | None:
    """The row of a job, or None; with `lock` no other transaction changes it until this one ends.

    SQLite locks the whole database for a transaction that writes; PostgreSQL locks the row.
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


def require_job(session: Session, job: JobRef) -> tables.Job:
    """The locked row of a job; raises BadInput when there is none."""
    row = find_job(session, job, lock=True)
    if row is None:
        label = f"job {job}" if isinstance(job, int) else f"group {job}"
        raise BadInput(f"{label}: not in the store; `contimg groups list` shows those that are")
    return row


def end_lease(job: tables.Job, state: State, now: float) -> None:
    """Remove the lease of a job and set its state. The fence stays, so the old holder is refused."""
    job.state, job.updated_at = state, now
    job.lease_owner = job.lease_token = job.lease_expires_at = None


def supersede_runs(session: Session, job: tables.Job, start: Stage) -> None:
    """Mark the committed runs of a job from a stage on as superseded, because these stages run again."""
    run = tables.StageRun
    committed = (run.job_id == job.id, run.stage.in_(start.remaining), run.outcome == Outcome.COMMITTED)
    session.execute(update(run).where(*committed).values(outcome=Outcome.SUPERSEDED))


def pause_switch(session: Session) -> tables.Control | None:
    """The switch that pauses the stream if it is on, otherwise None."""
    switch = session.get(tables.Control, PAUSED)
    return switch if switch is not None and switch.value == "1" else None
