"""Keep a lease while its stage runs; losing it interrupts the stage before its product replaces another one."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import LeaseLost
from contimg.store import Lease, Store

log = logging.getLogger(__name__)
_SIGNAL = signal.SIGUSR2  # billiard keeps SIGUSR1 for its time limits


@contextmanager
def keep_lease(store: Store, lease: Lease) -> Iterator[None]:
    """Send a heartbeat every quarter of the lease during the block.

    A heartbeat that does not reach the store is sent again: the lease outlives three missed ones. The block is
    interrupted only in the main thread; in another thread the commit is refused.

    Parameters
    ----------
    store : store that holds the lease.
    lease : the lease to keep.

    Raises
    ------
    LeaseLost : the lease ended during the block; raised inside the block.
    """
    ended = threading.Event()
    interrupted = _interrupted_thread(ended)
    heart = threading.Thread(
        target=_beat, args=(store, lease, ended, interrupted), name=f"heartbeat {lease.key}", daemon=True
    )
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()


def _beat(store: Store, lease: Lease, ended: threading.Event, interrupted: threading.Thread | None) -> None:
    while not ended.wait(store.database.rules.lease_s / 4):
        try:
            store.leases.heartbeat(lease)
        except LeaseLost as error:
            log.warning("%s", error)
            if interrupted is not None and interrupted.ident is not None and not ended.is_set():
                signal.pthread_kill(interrupted.ident, _SIGNAL)
            return
        except SQLAlchemyError as error:
            log.warning("a heartbeat did not reach the store (%s); trying again", str(error).splitlines()[0])


def _interrupted_thread(ended: threading.Event) -> threading.Thread | None:
    """The main thread, in which the signal raises LeaseLost; None in any other, where only the commit is refused."""
    main = threading.main_thread()
    if threading.current_thread() is not main:
        return None

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not ended.is_set():
            raise LeaseLost("the lease ended while the stage ran; its product is dropped")

    signal.signal(_SIGNAL, interrupt)
    return main
