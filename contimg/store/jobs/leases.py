"""Who may run which stage of which group: claim, heartbeat, and the four ways in which a lease ends.

Claim, then work under a temporary name, then commit: the commit counts only while the group still carries the
lease's token and fence. A worker that was frozen and thawed finds them changed and is refused.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.errors import BadInput, LeaseLost
from contimg.store import tables as models
from contimg.store.activity.events import ERROR, INFO, WARNING, note
from contimg.store.activity.metrics import measure
from contimg.store.database import Database
from contimg.store.jobs.clock_steps import bring_near
from contimg.store.products import products
from contimg.store.records import FileState, Lease, Outcome, Refusal, Refused, RunFigures, Stage, State
from contimg.store.rows import end_lease, files_of, locked_group, subband_paths, supersede_runs

PAUSED = "paused"
# Classes of failures that no exception tells of.
WORKER_SILENT, WORKER_DIED, TOOK_TOO_LONG = "WorkerSilent", "WorkerDied", "TookTooLong"


class Leases:
    """The state machine's middle: pending, in progress, and out again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, group: str, stage: Stage, owner: str, *, task_id: str | None = None) -> Lease | Refused:
        """Take the lease on a stage, counting an attempt; or say why not.

        A lease past its expiry is taken over. `owner` names the worker for operators (host:pid); it grants nothing.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = locked_group(session, group)
            if row is None:
                return Refused(Refusal.UNKNOWN, f"group {group}: not in the store")
            if row.state == State.IN_PROGRESS and _expired(row, now):
                self._expire(session, row, now, wait=False)
            refused = _refusal(row, stage, now) or _refused_by_pause(session)
            return refused or self._grant(session, row, owner, task_id, now)

    def heartbeat(self, lease: Lease) -> Lease:
        """Move the expiry on and return the lease as it stands; LeaseLost when another holds the group.

        Every quarter of the lease is often enough.
        """
        expires_at = self._database.clock() + self._database.rules.lease_s
        with self._database.write() as session:
            _must_hold(session, lease).lease_expires_at = expires_at
        return replace(lease, expires_at=expires_at)

    @contextmanager
    def held_fast(self, lease: Lease) -> Iterator[None]:
        """While the block runs nobody can take the lease, and it is certainly this one; LeaseLost when it is not.

        For the instant in which a product gets its name: a process that is frozen in here keeps others waiting, and
        cannot come back to find that they have overtaken it.
        """
        with self._database.write() as session:
            _must_hold(session, lease)
            yield

    def commit(self, lease: Lease, produced: Sequence[Any] = (), figures: RunFigures | None = None) -> Stage | None:
        """Write products, end the stage and the lease, set the next stage, all or nothing; returns the next stage.

        `produced` holds results of the stage: ConvertedMS, CalibratedMS, TileImage. LeaseLost, and nothing written,
        when the lease is no longer this one.
        """
        now, figures = self._database.clock(), figures or RunFigures()
        with self._database.write() as session:
            row = _must_hold(session, lease)
            for product in produced:
                products.write(product, session, lease.group, now)
            seconds = end_run(session, lease, Outcome.COMMITTED, now, figures=figures)
            following = lease.stage.following
            end_lease(row, State.PENDING if following else State.COMPLETED, now)
            row.attempts, row.not_before, row.error = 0, None, None
            row.enqueued_at = now  # the chain's next message is already on its way
            if following:
                row.stage = following
            else:
                row.completed_at = now
            note(session, now, INFO, lease.group, f"{lease.stage} done in {seconds:.1f} s")
            if not following:
                note(session, now, INFO, lease.group, f"completed {now - row.created_at:.0f} s after its first file")
            values = {**asdict(figures), "seconds": seconds}
            measure(session, now, {f"stage.{lease.stage}.{key}": one for key, one in values.items()}, lease.group)
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
        """End an attempt with an error, whose class is counted; returns the group's state then.

        Transient: `pending` again after a wait that doubles with each attempt, `failed` after the last one.
        Permanent: `failed` at once. LeaseLost when the lease is no longer this one.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write() as session:
            row = _must_hold(session, lease)
            end_run(session, lease, Outcome.FAILED, now, error=error, error_class=error_class, figures=figures)
            _end_attempt(session, row, error, now, last=permanent or row.attempts >= rules.max_attempts)
            row.not_before = now + rules.retry_after_s(row.attempts)
            return State(row.state)

    def redo(self, lease: Lease, start: Stage, error: str) -> State:
        """An earlier stage's product is broken: the group goes back to that stage; returns its state then.

        What a process killed in the middle of a change in place leaves is made again by itself, but not for ever:
        after as many times as a stage has attempts the group fails.
        """
        now, rules = self._database.clock(), self._database.rules
        with self._database.write() as session:
            row = _must_hold(session, lease)
            end_run(session, lease, Outcome.FAILED, now, error=error, error_class=BadInput.__name__)
            run = models.StageRun
            superseded = (run.group_id == row.id, run.stage == start, run.outcome == Outcome.SUPERSEDED)
            redone = session.scalars(select(func.count()).select_from(run).where(*superseded)).one()
            _end_attempt(session, row, error, now, last=redone + 1 >= rules.max_attempts)
            if row.state == State.PENDING:
                supersede_runs(session, row.id, start)
                row.stage, row.attempts, row.not_before = start, 0, None
                note(session, now, WARNING, row.id, f"goes back to {start}")
            return State(row.state)

    def release(self, lease: Lease) -> None:
        """Put the stage back to `pending` without counting the attempt: a worker that is being shut down."""
        now = self._database.clock()
        with self._database.write() as session:
            row = _must_hold(session, lease)
            end_run(session, lease, Outcome.RELEASED, now)
            end_lease(row, State.PENDING, now)
            row.attempts -= 1
            row.enqueued_at = None

    def expire(self) -> tuple[str, ...]:
        """End leases past their expiry: each counts as an attempt; returns the groups.

        After a clock was set back, what would wait for it to catch up does so no longer.
        """
        now = self._database.clock()
        overdue = (
            select(models.Group)
            .where(models.Group.state == State.IN_PROGRESS, models.Group.lease_expires_at <= now)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as session:
            bring_near(session, now, self._database.rules)
            groups = session.scalars(overdue).all()
            for row in groups:
                self._expire(session, row, now)
            return tuple(row.id for row in groups)

    def _grant(self, session: Session, row: models.Group, owner: str, task_id: str | None, now: float) -> Lease:
        stage = Stage(row.stage)
        row.state, row.updated_at = State.IN_PROGRESS, now
        row.fence += 1
        row.attempts += 1
        row.lease_owner, row.lease_token = owner, uuid4().hex
        row.lease_expires_at = now + self._database.rules.lease_s
        files: dict[int, Any] = {}
        if stage == Stage.CONVERT:
            present = files_of(session, row.id, FileState.PRESENT, FileState.LATE)
            for file in present:
                file.state = FileState.PRESENT
            files = subband_paths(present)
            row.partial = len(files) < self._database.rules.expected_subbands
        run = models.StageRun(
            group_id=row.id,
            stage=stage,
            attempt=row.attempts,
            fence=row.fence,
            owner=owner,
            task_id=task_id,
            started_at=now,
        )
        session.add(run)
        session.flush()
        return Lease(
            group=row.id,
            stage=stage,
            owner=owner,
            token=row.lease_token,
            fence=row.fence,
            attempt=row.attempts,
            expires_at=row.lease_expires_at,
            run_id=run.id,
            partial=row.partial,
            files=files,
        )

    def _expire(self, session: Session, row: models.Group, now: float, *, wait: bool = True) -> None:
        """End an overdue lease; with `wait`, the next attempt comes after the usual delay."""
        rules = self._database.rules
        error = f"worker {row.lease_owner} was silent for {rules.lease_s:g} s during {row.stage}"
        run = session.scalars(select(models.StageRun).filter_by(group_id=row.id, fence=row.fence)).one()
        run.ended_at, run.outcome, run.error, run.error_class = now, Outcome.EXPIRED, error, WORKER_SILENT
        _end_attempt(session, row, error, now, last=row.attempts >= rules.max_attempts)
        row.not_before = now + rules.retry_after_s(row.attempts) if wait else None


def held(session: Session, lease: Lease) -> models.Group | None:
    """The group's row if it still carries this very lease, otherwise None."""
    row = locked_group(session, lease.group)
    mine = row is not None and (row.state, row.lease_token, row.fence) == (State.IN_PROGRESS, lease.token, lease.fence)
    return row if mine else None


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
    """Close the row of the attempt that a lease stands for; returns its seconds."""
    run = session.get_one(models.StageRun, lease.run_id)
    run.ended_at, run.outcome, run.error, run.error_class = now, outcome, error, error_class
    for name, value in asdict(figures or RunFigures()).items():
        setattr(run, name, value)
    if run.seconds is None:
        run.seconds = max(0.0, now - run.started_at)
    return run.seconds


def _must_hold(session: Session, lease: Lease) -> models.Group:
    row = held(session, lease)
    if row is None:
        raise LeaseLost(
            f"group {lease.group}: the lease on {lease.stage} has ended or passed on; nothing was committed"
        )
    return row


def _expired(row: models.Group, now: float) -> bool:
    return row.lease_expires_at is not None and row.lease_expires_at <= now


def _refusal(row: models.Group, stage: Stage, now: float) -> Refused | None:
    """Why this stage of this group cannot be claimed now, or None."""
    at = Stage(row.stage)
    if row.state == State.COMPLETED or stage.precedes(at):
        return Refused(Refusal.DONE, f"group {row.id}: {stage} is done")
    if row.state in (State.FAILED, State.DISCARDED):
        return Refused(Refusal.ENDED, f"group {row.id}: {row.state}: {row.error}")
    if row.state == State.COLLECTING or at.precedes(stage):
        return Refused(Refusal.NOT_READY, f"group {row.id}: {row.state}, {at} comes first")
    if row.state == State.IN_PROGRESS:
        return Refused(Refusal.LEASED, f"group {row.id}: {row.lease_owner} has {at}", row.lease_expires_at)
    if row.not_before is not None and row.not_before > now:
        return Refused(Refusal.WAITING, f"group {row.id}: {at} waits after an error", row.not_before)
    return None


def _refused_by_pause(session: Session) -> Refused | None:
    switch = session.get(models.Control, PAUSED)
    if switch is None or switch.value != "1":
        return None
    return Refused(Refusal.PAUSED, f"paused by {switch.changed_by or 'an operator'}; `contimg resume` goes on")


def _end_attempt(session: Session, row: models.Group, error: str, now: float, *, last: bool) -> None:
    """Back to `pending`, or to `failed` after the last attempt, and an event that says which."""
    end_lease(row, State.FAILED if last else State.PENDING, now)
    row.error, row.enqueued_at = error, None
    if last:
        note(session, now, ERROR, row.id, f"failed in {row.stage}, attempt {row.attempts}: {error}")
    else:
        note(session, now, WARNING, row.id, f"{row.stage} will be tried again after attempt {row.attempts}: {error}")
