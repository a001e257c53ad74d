"""A lease is kept alive while its stage runs; losing it interrupts the stage before its product replaces another's."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import LeaseLost
from contimg.store import Lease, Store

log = logging.getLogger(__name__)
_SIGNAL = signal.SIGUSR2  # billiard keeps SIGUSR1 for its time limits


@contextmanager
def kept_alive(store: Store, lease: Lease) -> Iterator[None]:
    """Beat every quarter of the lease. When another worker holds the group, LeaseLost is raised inside the block.

    A store that does not answer for a while is tried again: the lease outlives three missed beats.
    """
    ended = threading.Event()
    interrupt = _interruption(ended)
    beating = threading.Thread(
        target=_beat, args=(store, lease, ended, interrupt), name=f"heartbeat {lease.group}", daemon=True
    )
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


def _beat(store: Store, lease: Lease, ended: threading.Event, interrupt: threading.Thread | None) -> None:
    while not ended.wait(store.database.rules.lease_s / 4):
        try:
            store.leases.heartbeat(lease)
        except LeaseLost as error:
            log.warning("%s", error)
            if interrupt is not None and interrupt.ident is not None and not ended.is_set():
                signal.pthread_kill(interrupt.ident, _SIGNAL)
            return
        except SQLAlchemyError as error:
            log.warning("a heartbeat did not reach the store (%s); trying again", _first_line(error))


def _interruption(ended: threading.Event) -> threading.Thread | None:
    """Let the signal raise LeaseLost in the main thread; None elsewhere, where the commit alone refuses."""
    main = threading.main_thread()
    if threading.current_thread() is not main:
        return None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not ended.is_set():
            raise LeaseLost("the lease passed on while the stage ran; its product is dropped")

    signal.signal(_SIGNAL, interrupt)
    return main


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
