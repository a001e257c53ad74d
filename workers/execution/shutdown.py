"""A worker that is told to stop waits for its stages under way as long as they take, at most as long as it may.

Celery's own soft shutdown sleeps its whole time whenever a task was under way, so that replacing a worker takes half a
minute though its stage has ended after a second.
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
    """In place of the worker's `wait_for_soft_shutdown`: return when no child holds a lease, or when time is up."""
    if not state.active_requests:
        return
    began = time.monotonic()
    limit_s = worker.app.conf.worker_soft_shutdown_timeout
    worked = False
    while (waited_s := time.monotonic() - began) < limit_s:
        works = children_work(store)
        if not works and (worked or waited_s > _TO_A_LEASE_S):
            time.sleep(_TO_A_MESSAGE_S)
            return
        worked = worked or works
        time.sleep(0.2)


def children_work(store: Store) -> bool:
    """Whether a child of this process holds a lease; a store that is away says neither, so it counts as one."""
    try:
        owners = [one.owner for one in store.overview.snapshot(0).running]
    except SQLAlchemyError:
        return True
    return any(_is_child(ProcessName.parse(owner)) for owner in owners if owner)


def _is_child(process: ProcessName | None) -> bool:
    try:
        return process is not None and process.is_alive and psutil.Process(process.pid).ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return False
