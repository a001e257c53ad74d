"""Clocks of the hosts, compared with the database's: a host whose clock is wrong is named.

Leases are timed by the clock of the PostgreSQL server, so a wrong clock loses none; what is wrong are the times in the
host's logs and file names, and the age of its files. With SQLite all processes are on one host.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError
from contimg.store import Store

log = logging.getLogger(__name__)
CLOCK_BEAT = "clock."
INTERVAL_S = 60.0
LIMIT_S = 5.0
_FORGET_S = 10 * INTERVAL_S
_NAME_CHARACTERS = 50


def record_clock(store: Store) -> None:
    """Record by how much this host's clock is ahead of the database's.

    Parameters
    ----------
    store : the store.
    """
    if (ahead_s := store.clock_ahead_s()) is not None:
        store.activity.beat(f"{CLOCK_BEAT}{socket.gethostname()[:_NAME_CHARACTERS]}", f"{ahead_s:.1f}")


def wrong_clocks(store: Store) -> tuple[str, ...]:
    """Describe the clocks that differ from the database's, one line for each host.

    Parameters
    ----------
    store : the store; hosts count that have recorded their clock in the last minutes.
    """
    now = store.database.clock()
    lines = []
    for host, beat in store.activity.beats(CLOCK_BEAT).items():
        ahead_s = float(beat.text)
        if now - beat.at < _FORGET_S and abs(ahead_s) > LIMIT_S:
            direction = "ahead of" if ahead_s > 0 else "behind"
            lines.append(f"clock: that of host {host} is {abs(ahead_s):.0f} s {direction} the database's "
                         f"(limit {LIMIT_S:g} s); synchronise it: `timedatectl set-ntp true` on {host}")  # fmt: skip
    return tuple(lines)


def record_clock_repeatedly(open_store: Callable[[], Store]) -> None:
    """Record this host's clock every minute until the process ends, in a thread.

    Parameters
    ----------
    open_store : returns the store; called in the thread.
    """

    def run() -> None:
        while True:
            try:
                record_clock(open_store())
            except (ContimgError, SQLAlchemyError) as error:
                log.info("the clock was not recorded: %s", str(error).splitlines()[0])
            time.sleep(INTERVAL_S)

    threading.Thread(target=run, name="clock", daemon=True).start()
