"""Leases: claim a stage of a job, extend the lease, and end it with a commit, a failure, a redo or a release.

A worker claims, writes under a temporary name, and commits. The commit counts only while the job still carries the
token and the fence of the lease; a worker that was suspended and resumed finds them changed and is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput, LeaseLost, mask_secrets
from contimg.settings import QueueRules
from contimg.settings.alerts import ERROR, INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event, record_metrics
from contimg.store.database import Repository, count
from contimg.store.epochs.collecting import open_epochs, settle
from contimg.store.files.groups import claim_files
from contimg.store.jobs import records
from contimg.store.jobs.background import refuse_campaign
from contimg.store.jobs.kinds import KINDS, LIVE, LIVE_PRIORITY, TILE, Stage, State
from contimg.store.jobs.records import JobRef, Lease, Outcome, Refusal, Refused, RunFigures
from contimg.store.products import tile_products
from contimg.store.tables import record_of

# Error classes of failures that raise no exception in the worker.
WORKER_SILENT, WORKER_DIED, TOOK_TOO_LONG = "WorkerSilent", "WorkerDied", "TookTooLong"


class Leases(Repository):
    """Transitions of a job between `pending` and `in_progress`."""

    def claim(self, job: JobRef, stage: Stage, owner: str, *, task_id: str | None = None) -> Lease | Refused:
        """Take the lease on a stage, which uses up an attempt. A lease past its expiry is taken over.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        stage : must be the job's next one.
        owner : names the worker for operators (host:pid).
        task_id : of the Celery task that runs the stage, for `active`.

        Returns
        -------
        the lease, for the convert stage with the files to read; or why it cannot be had.
        """
        with self._database.write() as session:
            row = records.find_job(session, job, lock=True)
            now = self._database.clock()  # not before: another process may have held the lock for a while
            if row is None:
                return Refused(Refusal.UNKNOWN, f"job {job}: not in the store")
            if row.state == State.IN_PROGRESS and row.lease_expires_at is not None and row.lease_expires_at <= now:
                self._expire(session, row, now, wait=False)
            refused = _refusal(session, row, stage, now)
            return refused or self._grant(session, row, owner, task_id, now)

    def heartbeat(self, lease: Lease) -> Lease:
        """Extend a lease and return it; call it every quarter of the lease.

        Parameters
        ----------
        lease : as claimed, or as the heartbeat before returned it.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        expires_at = self._database.clock() + self._database.rules.lease_s
        with self._database.write() as session:
            _require_lease(session, lease).lease_expires_at = expires_at
        return replace(lease, expires_at=expires_at)

    @contextmanager
    def hold_lease(self, lease: Lease) -> Iterator[None]:
        """Keep every other process from taking the lease during the block.

        It is for the moment in which a product is renamed: a process that is suspended here blocks others, and
        cannot resume after another process has overtaken it.

        Parameters
        ----------
        lease : of the stage that made the product.

        Raises
        ------
        LeaseLost : the lease has ended before the block.
        """
        with self._database.write() as session:
            _require_lease(session, lease)
            yield

    def commit(self, lease: Lease, produced: Sequence[Any] = (), figures: RunFigures | None = None) -> Stage | None:
        """Write products, end the stage and its lease, and set the next stage, all or nothing.

        Parameters
        ----------
        lease : of the stage.
        produced : results of the stage, of the types that `tile_products.write` knows.
        figures : cost of the run.

        Returns
        -------
        the next stage; None after the last, when the job is completed.

        Raises
        ------
        LeaseLost : the lease has ended.
        BadInput : a caltable set has no QA grade.
        """
        now, figures = self._database.clock(), figures or RunFigures()
        with self._database.write() as session:
            job = _require_lease(session, lease)
            for product in produced:
                tile_products.write(product, session, job, now)
            seconds = end_run(session, lease, Outcome.COMMITTED, now, figures=figures)
            following = lease.stage.following
            records.end_lease(job, State.PENDING if following else State.COMPLETED, now)
            job.attempts, job.not_before, job.error = 0, None, None
            job.enqueued_at = now  # the chain's next message is already on its way
            record_event(
                session, now, INFO, job.key, f"{lease.stage} done in {seconds:.1f} s", processing=job.processing
            )
            if following:
                job.stage = following
            else:
                job.completed_at = now
                text = f"completed {now - job.created_at:.0f} s after its {KINDS[job.kind].beginning}"
                record_event(session, now, INFO, job.key, text, processing=job.processing)
            if lease.stage is Stage.IMAGE:
                open_epochs(session, job, self._database.rules, now)
            elif lease.stage is Stage.MEASURE:
                settle(session, job, self._database.rules, now)
            values = {f"stage.{lease.stage}.{name}": value for name, value in asdict(figures).items()}
            values[f"stage.{lease.stage}.seconds"] = seconds
            record_metrics(session, now, values, job.key, job.processing)
            return following

    def fail(
        self,
        lease: Lease,
        error: str,
        *,
        permanent: bool,
        error_class: str | None = None,
        figures: RunFigures | None = None,
    ) -> State:
        """End an attempt with an error and return the job's state then.

        Parameters
        ----------
        lease : of the stage.
        error : for operators.
        permanent : True for `failed` at once; False for `pending` again after a delay that doubles with each attempt,
            and `failed` after the last one.
        error_class : name of the exception's class, stored with the run.
        figures : cost of the run.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write() as session:
            job = _require_lease(session, lease)
            end_run(session, lease, Outcome.FAILED, now, error=error, error_class=error_class, figures=figures)
            _end_attempt(session, job, error, now, last=permanent or job.attempts >= rules.max_attempts)
            job.not_before = now + rules.retry_after_s(job.attempts)
            return State(job.state)

    def redo(self, lease: Lease, start: Stage, error: str) -> State:
        """Return a job to an earlier stage whose product is broken, and return the job's state then.

        A power cut in the middle of a change in place leaves such a product. After as many redos as a stage has
        attempts the job fails.

        Parameters
        ----------
        lease : of the stage that found the product broken.
        start : the stage that made the product.
        error : for operators.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write() as session:
            job = _require_lease(session, lease)
            end_run(session, lease, Outcome.FAILED, now, error=error, error_class=BadInput.__name__)
            run = tables.StageRun
            superseded = (run.job_id == job.id, run.stage == start, run.outcome == Outcome.SUPERSEDED)
            redone = count(session, run, *superseded)
            _end_attempt(session, job, error, now, last=redone + 1 >= rules.max_attempts)
            if job.state == State.PENDING:
                records.supersede_runs(session, job, start)
                job.stage, job.attempts, job.not_before = start, 0, None
                record_event(session, now, WARNING, job.key, f"returns to {start}", processing=job.processing)
            return State(job.state)

    def release(self, lease: Lease) -> None:
        """Requeue a stage without using up an attempt, when a worker shuts down.

        Parameters
        ----------
        lease : of the stage.

        Raises
        ------
        LeaseLost : the lease has ended.
        """
        now = self._database.clock()
        with self._database.write() as session:
            job = _require_lease(session, lease)
            end_run(session, lease, Outcome.RELEASED, now)
            records.requeue(job, State.PENDING, now)

    def expire(self) -> tuple[str, ...]:
        """End the leases past their expiry, each of which uses up an attempt; returns the keys of their jobs.

        After the clock was set back, times too far in the future are clamped as well.
        """
        now, job = self._database.clock(), tables.Job
        overdue = (
            select(job)
            .where(job.state == State.IN_PROGRESS, job.lease_expires_at <= now)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as session:
            _clamp_future_times(session, now, self._database.rules)
            jobs = session.scalars(overdue).all()
            for row in jobs:
                self._expire(session, row, now)
            return tuple(row.key for row in jobs)

    def active(self, *, task_id: str | None = None) -> tuple[Lease, ...]:
        """Return the leases of all stages in progress.

        Parameters
        ----------
        task_id : only the lease claimed for this Celery task; None for all.
        """
        query = records.jobs_in_progress()
        if task_id is not None:
            query = query.where(tables.StageRun.task_id == task_id)
        with self._database.read() as session:
            return tuple(_lease_of(job, run) for job, run in session.execute(query))

    def _grant(self, session: Session, job: tables.Job, owner: str, task_id: str | None, now: float) -> Lease:
        job.state, job.updated_at = State.IN_PROGRESS, now
        job.fence += 1
        job.attempts += 1
        job.lease_owner, job.lease_token = owner, uuid4().hex
        job.lease_expires_at = now + self._database.rules.lease_s
        run = tables.StageRun(
            job_id=job.id,
            processing=job.processing,
            stage=job.stage,
            attempt=job.attempts,
            fence=job.fence,
            owner=owner,
            task_id=task_id,
            started_at=now,
        )
        session.add(run)
        session.flush()
        lease = _lease_of(job, run)
        if lease.stage is not Stage.CONVERT:
            return lease
        files, partial = claim_files(session, job.key, self._database.rules.expected_subbands, job.processing)
        return replace(lease, files=files, partial=partial)

    def _expire(self, session: Session, job: tables.Job, now: float, *, wait: bool = True) -> None:
        """End an overdue lease; with `wait`, the next attempt comes after the usual delay."""
        rules = self._database.rules
        error = f"worker {job.lease_owner} was silent for {rules.lease_s:g} s during {job.stage}"
        run = session.scalars(select(tables.StageRun).filter_by(job_id=job.id, fence=job.fence)).one()
        run.ended_at, run.outcome, run.error, run.error_class = now, Outcome.EXPIRED, error, WORKER_SILENT
        _end_attempt(session, job, error, now, last=job.attempts >= rules.max_attempts)
        job.not_before = now + rules.retry_after_s(job.attempts) if wait else None


def held_job(session: Session, lease: Lease) -> tables.Job | None:
    """Return the locked row of a job if it still carries a lease, otherwise None.

    Parameters
    ----------
    session : of a transaction that writes.
    lease : its token and fence are compared with the job's.
    """
    job = records.find_job(session, lease.job_id, lock=True)
    if job is None or (job.state, job.lease_token, job.fence) != (State.IN_PROGRESS, lease.token, lease.fence):
        return None
    return job


def end_run(
    session: Session,
    lease: Lease,
    outcome: Outcome,
    now: float,
    *,
    error: str | None = None,
    error_class: str | None = None,
    figures: RunFigures | None = None,
) -> float:
    """Write the end of the attempt of a lease.

    Parameters
    ----------
    session : of the caller's transaction.
    lease : names the run.
    outcome : how the attempt ended.
    now : epoch seconds.
    error, error_class : what went wrong, and the name of the exception's class; None when nothing did.
    figures : cost of the run; without its seconds they are counted from the claim.

    Returns
    -------
    the seconds of the run.
    """
    run = session.get_one(tables.StageRun, lease.run_id)
    run.ended_at, run.outcome, run.error_class = now, outcome, error_class
    run.error = mask_secrets(error) if error else None
    for name, value in asdict(figures or RunFigures()).items():
        setattr(run, name, value)
    if run.seconds is None:
        run.seconds = max(0.0, now - run.started_at)
    return run.seconds


def _lease_of(job: tables.Job, run: tables.StageRun) -> Lease:
    token, expires_at = job.lease_token or "", job.lease_expires_at or 0.0
    return record_of(Lease, run, run_id=run.id, kind=job.kind, key=job.key, token=token, expires_at=expires_at)


def _require_lease(session: Session, lease: Lease) -> tables.Job:
    job = held_job(session, lease)
    if job is None:
        raise LeaseLost(f"{lease.label}: the lease on {lease.stage} has ended or passed on; nothing was committed")
    return job


def _refusal(session: Session, job: tables.Job, stage: Stage, now: float) -> Refused | None:
    """Why this stage of this job cannot be claimed now, or None."""
    current = Stage(job.stage)
    if job.state == State.COMPLETED or stage.precedes(current):
        return Refused(Refusal.DONE, f"{job.label}: {stage} is done")
    if job.state in (State.FAILED, State.DISCARDED):
        return Refused(Refusal.ENDED, f"{job.label}: {job.state}: {job.error}")
    if job.state == State.COLLECTING or stage is not current:
        return Refused(Refusal.NOT_READY, f"{job.label}: {job.state}, {current} comes first")
    if job.state == State.IN_PROGRESS:
        return Refused(Refusal.LEASED, f"{job.label}: {job.lease_owner} has {current}")
    if job.not_before is not None and job.not_before > now:
        return Refused(Refusal.WAITING, f"{job.label}: {current} waits after an error")
    if current.kind.is_sent and job.priority > LIVE_PRIORITY and (reason := refuse_campaign(session, job, now)):
        job.enqueued_at = None  # the chain of messages ends; the dispatcher sends another
        return Refused(Refusal.NOT_READY, f"{job.label}: {reason}")
    switch = records.pause_switch(session)
    if switch is not None and (current.kind.is_sent or switch.changed_by != records.DISK_WATCH):
        text = f"paused by {switch.changed_by or 'an operator'}; `contimg resume` continues"
        return Refused(Refusal.PAUSED, text)
    return None


def _end_attempt(session: Session, job: tables.Job, error: str, now: float, *, last: bool) -> None:
    """Set `pending`, or `failed` after the last attempt, and record the event."""
    records.end_lease(job, State.FAILED if last else State.PENDING, now)
    job.error, job.enqueued_at = mask_secrets(error), None
    if last:
        text = f"failed in {job.stage}, attempt {job.attempts}: {error}"
        record_event(session, now, ERROR, job.key, text, processing=job.processing)
    else:
        text = f"{job.stage} will be tried again after attempt {job.attempts}: {error}"
        record_event(session, now, WARNING, job.key, text, processing=job.processing)


def _clamp_future_times(session: Session, now: float, rules: QueueRules) -> None:
    """Limit every lease, delay and collection to the length of its rule from now (epoch seconds).

    After the clock was set back they would last longer. A live holder of a clamped lease extends it.
    """
    job, group = tables.Job, tables.Group
    collecting = select(job.key).where(job.kind == TILE.name, job.processing == LIVE, job.state == State.COLLECTING)
    limits: tuple[tuple[type[Any], ColumnElement[bool], Any, float], ...] = (
        (job, job.state == State.IN_PROGRESS, job.lease_expires_at, rules.lease_s),
        (job, job.state == State.PENDING, job.not_before, rules.retry_delay_max_s),
        (job, job.state == State.PENDING, job.enqueued_at, 0.0),
        (group, group.id.in_(collecting), group.collecting_since, 0.0),
    )
    for table, condition, column, length_s in limits:
        limit = now + length_s
        session.execute(update(table).where(condition, column > limit).values({column: limit}))
