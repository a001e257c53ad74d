"""End leases before their expiry: their process is dead, or is about to be killed for exceeding its time limit.

A process of this container is known by its pid, one of another container by its liveness file.
"""

import logging
from collections.abc import Callable, Set

from contimg.common.errors import LeaseLost
from contimg.store import Lease, Store
from contimg.store.jobs.leases import TOOK_TOO_LONG, WORKER_DIED
from workers.execution.processes import LivenessFiles, ProcessName

log = logging.getLogger(__name__)


def release_leases_of_dead_processes(store: Store) -> tuple[str, ...]:
    """Requeue, without using up attempts, what processes of this machine held when they ended.

    For the start and the stop of the service.

    Parameters
    ----------
    store : store that holds the leases.

    Returns
    -------
    the keys of the jobs whose leases were released.
    """
    return _end_leases_of_dead_processes(store, store.leases.release)


def fail_leases_of_dead_processes(store: Store, liveness: LivenessFiles | None = None) -> tuple[str, ...]:
    """Fail the attempts of worker processes that died during a stage.

    Parameters
    ----------
    store : store that holds the leases.
    liveness : files that show processes of other containers of this machine; None to end only those known by pid.

    Returns
    -------
    the keys of the jobs whose attempts failed.
    """

    def fail(lease: Lease) -> None:
        error = f"the worker process died during {lease.stage}"
        store.leases.fail(lease, error, permanent=False, error_class=WORKER_DIED)

    if liveness is None:
        return _end_leases_of_dead_processes(store, fail)
    dead = liveness.dead()
    ended = _end_leases_of_dead_processes(store, fail, dead)
    for name in dead:
        liveness.forget(name)
    return ended


def fail_overlong_stage(store: Store, task_id: str, limit_s: float) -> None:
    """Fail the attempt of a task before its worker kills the child process for exceeding the time limit.

    The child is first asked to exit, and would requeue its stage without using up an attempt, as when its worker
    shuts down: the stage would run again for ever.

    Parameters
    ----------
    store : store that holds the lease.
    task_id : id of the Celery task; a task without a lease is ignored.
    limit_s : the limit that was exceeded, s, for the message.
    """
    for lease in store.leases.active(task_id=task_id):
        error = f"{lease.stage} took longer than the limit ({limit_s:g} s, CONTIMG_STAGE_LIMIT_S)"
        try:
            state = store.leases.fail(lease, error, permanent=False, error_class=TOOK_TOO_LONG)
        except LeaseLost:
            continue  # it has ended just now
        log.error("%s: %s: %s", lease.label, state, error)


def _end_leases_of_dead_processes(
    store: Store, end: Callable[[Lease], object], dead: Set[str] = frozenset()
) -> tuple[str, ...]:
    ended = []
    for lease in store.leases.active():
        process = ProcessName.parse(lease.owner)
        if lease.owner not in dead and not (process is not None and process.is_dead):
            continue
        try:
            end(lease)
        except LeaseLost:
            continue  # it expired or passed on meanwhile
        log.warning("%s: ended the lease on %s of %s, which is dead", lease.label, lease.stage, lease.owner)
        ended.append(lease.key)
    return tuple(ended)
