"""A worker that shuts down waits for its stages in progress, up to a limit.

Celery's own soft shutdown sleeps for the whole limit whenever a task was in progress, so that replacing a worker takes
half a minute though its stage has ended after a second.
"""

import os
import time
from typing import Any

import psutil
from celery.worker import state
from sqlalchemy.exc import SQLAlchemyError

from contimg.store import Store
from workers.execution.processes import ProcessName

# From a message to its lease: a child may have to load a stage's libraries first.
_TO_A_LEASE_S = 5.0
# From a commit to the message for the next stage.
_TO_A_MESSAGE_S = 1.0


def wait_for_stages(worker: Any, store: Store) -> None:
    """Return when no child holds a lease, or at the limit; it replaces the worker's `wait_for_soft_shutdown`.

    Parameters
    ----------
    worker : the Celery worker; its setting `worker_soft_shutdown_timeout` is the limit, s.
    store : store that holds the leases.
    """
    if not state.active_requests:
        return
    began = time.monotonic()
    limit_s = worker.app.conf.worker_soft_shutdown_timeout
    has_worked = False
    while (waited_s := time.monotonic() - began) < limit_s:
        is_working = is_any_child_working(store)
        if not is_working and (has_worked or waited_s > _TO_A_LEASE_S):
            time.sleep(_TO_A_MESSAGE_S)
            return
        has_worked = has_worked or is_working
        time.sleep(0.2)


def is_any_child_working(store: Store) -> bool:
    """Return whether a child of this process holds a lease.

    Parameters
    ----------
    store : store that holds the leases.

    Returns
    -------
    True also when the store does not answer.
    """
    try:
        owners = [lease.owner for lease in store.leases.active()]
    except SQLAlchemyError:
        return True
    return any(_is_child(ProcessName.parse(owner)) for owner in owners if owner)


def _is_child(process: ProcessName | None) -> bool:
    try:
        return process is not None and process.is_alive and psutil.Process(process.pid).ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return False
