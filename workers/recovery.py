"""Leases whose process lives no more. Their end need not wait for the expiry when the process was on this machine."""

import logging
from collections.abc import Callable

from sqlalchemy import select

from contimg.errors import LeaseLost
from contimg.store import Lease, Stage, State, Store, models
from contimg.store.leases import WORKER_DIED
from workers.processes import ProcessName

log = logging.getLogger(__name__)


def release_what_the_dead_hold(store: Store) -> tuple[str, ...]:
    """At a start or a stop: give back what processes of this machine held when they were ended; not counted."""
    return _each(store, store.leases.release)


def fail_what_the_dead_hold(store: Store) -> tuple[str, ...]:
    """While the service runs: a worker process that died during a stage has spoilt one of the stage's attempts."""

    def fail(lease: Lease) -> None:
        error = f"the worker process died during {lease.stage}"
        store.leases.fail(lease, error, permanent=False, error_class=WORKER_DIED)

    return _each(store, fail)


def _each(store: Store, end: Callable[[Lease], object]) -> tuple[str, ...]:
    ended = []
    for lease in _held_by_the_dead(store):
        try:
            end(lease)
        except LeaseLost:
            continue  # it expired or passed on meanwhile
        log.warning("group %s: took %s back from %s, which is dead", lease.group, lease.stage, lease.owner)
        ended.append(lease.group)
    return tuple(ended)


def _held_by_the_dead(store: Store) -> list[Lease]:
    group, run = models.Group, models.StageRun
    query = (
        select(group, run.id)
        .join(run, (run.group_id == group.id) & (run.fence == group.fence))
        .where(group.state == State.IN_PROGRESS)
    )
    with store.database.read() as session:
        leases = [
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
    return [lease for lease in leases if (owner := ProcessName.parse(lease.owner)) and owner.is_dead]
