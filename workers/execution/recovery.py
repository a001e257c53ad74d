"""Leases that need not wait for their expiry: their process lives no more, or is about to be killed for its slowness.

A process beside this one is known by its pid, one in another container by its sign of life.
"""

import logging
from collections.abc import Callable, Set

from sqlalchemy import ColumnElement, select

from contimg.errors import LeaseLost
from contimg.store import Lease, Stage, State, Store
from contimg.store import tables as models
from contimg.store.jobs.leases import TOOK_TOO_LONG, WORKER_DIED
from workers.execution.liveness import Signs
from workers.execution.processes import ProcessName

log = logging.getLogger(__name__)


def release_what_the_dead_hold(store: Store) -> tuple[str, ...]:
    """At a start or a stop: give back what processes of this machine held when they were ended; not counted."""
    return _each(store, store.leases.release)


def fail_what_the_dead_hold(store: Store, signs: Signs | None = None) -> tuple[str, ...]:
    """While the service runs: a worker process that died during a stage has spoilt one of the stage's attempts.

    `signs` tell of processes that no pid tells of, in other containers of this machine.
    """

    def fail(lease: Lease) -> None:
        error = f"the worker process died during {lease.stage}"
        store.leases.fail(lease, error, permanent=False, error_class=WORKER_DIED)

    if signs is None:
        return _each(store, fail)
    dead = signs.dead()
    ended = _each(store, fail, dead)
    for name in dead:
        signs.forget(name)
    return ended


def fail_what_took_too_long(store: Store, task_id: str, limit_s: float) -> None:
    """Before a worker kills its child for the time that its task takes.

    The child is told to end first, and would give its stage back uncounted, as one does that is stopped with its
    worker: the stage would be begun anew for ever.
    """
    for lease in _held(store, models.StageRun.task_id == task_id):
        error = f"{lease.stage} took longer than it may ({limit_s:g} s, CONTIMG_STAGE_LIMIT_S)"
        try:
            state = store.leases.fail(lease, error, permanent=False, error_class=TOOK_TOO_LONG)
        except LeaseLost:
            continue  # it has ended just now
        log.error("group %s: %s: %s", lease.group, state, error)


def _each(store: Store, end: Callable[[Lease], object], dead: Set[str] = frozenset()) -> tuple[str, ...]:
    ended = []
    for lease in _held(store):
        if lease.owner not in dead and not _is_dead(lease.owner):
            continue
        try:
            end(lease)
        except LeaseLost:
            continue  # it expired or passed on meanwhile
        log.warning("group %s: took %s back from %s, which is dead", lease.group, lease.stage, lease.owner)
        ended.append(lease.group)
    return tuple(ended)


def _held(store: Store, *which: ColumnElement[bool]) -> list[Lease]:
    group, run = models.Group, models.StageRun
    query = (
        select(group, run.id)
        .join(run, (run.group_id == group.id) & (run.fence == group.fence))
        .where(group.state == State.IN_PROGRESS, *which)
    )
    with store.database.read() as session:
        return [
            Lease(
                group=row.id,
                stage=Stage(row.stage),
                owner=row.lease_owner or "",
                token=row.lease_token or "",
                fence=row.fence,
                attempt=row.attempts,
                expires_at=row.lease_expires_at or 0.0,
                run_id=run_id,
            )
            for row, run_id in session.execute(query)
        ]


def _is_dead(owner: str) -> bool:
    name = ProcessName.parse(owner)
    return name is not None and name.is_dead
