"""Live events: one thread watches the store and wakes every viewer, so that viewers cost nothing between events."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

from sqlalchemy.exc import SQLAlchemyError

from contimg.store import EventRecord, Store

log = logging.getLogger(__name__)

POLL_S = 1.0
HEARTBEAT_S = 15.0
SESSION_S = 600.0
BACKLOG = 500


class LiveEvents:
    """Viewers of the event log; each holds a thread of the server.

    Parameters
    ----------
    store : the store.
    capacity : maximum number of viewers.
    poll_s : time between looks at the store, s.
    session_s : maximum time of a connection, s; browsers connect again by themselves.
    """

    def __init__(self, store: Store, capacity: int, *, poll_s: float = POLL_S, session_s: float = SESSION_S) -> None:
        self.capacity = capacity
        self.viewers = 0
        self.closing = False
        self._store = store
        self._poll_s = poll_s
        self._session_s = session_s
        self._changed = threading.Condition()
        self._newest_id = 0
        self._watching = False

    def add_viewer(self) -> bool:
        """Count a viewer, who calls `remove_viewer` once; return False when `capacity` is reached."""
        with self._changed:
            if self.viewers >= self.capacity or self.closing:
                return False
            self.viewers += 1
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="live-events", daemon=True).start()
            return True

    def remove_viewer(self) -> None:
        """Count one viewer less."""
        with self._changed:
            self.viewers -= 1

    def follow(self, after: int, is_gone: Callable[[], bool] = lambda: False) -> Iterator[EventRecord | None]:
        """Yield events as they come, and None after `HEARTBEAT_S` without one, until the session ends.

        Parameters
        ----------
        after : id of the last event that the viewer has.
        is_gone : whether the viewer has disconnected; called about once a second.
        """
        end_s, last_yield_s = time.monotonic() + self._session_s, time.monotonic()
        has_new = True
        while not self.closing and not is_gone() and time.monotonic() < end_s:
            events = self._store.events.after(after, BACKLOG) if has_new else ()
            for event in events:
                after = event.id
                yield event
            if events:
                last_yield_s = time.monotonic()
            elif time.monotonic() - last_yield_s >= HEARTBEAT_S:
                last_yield_s = time.monotonic()
                yield None
            has_new = len(events) == BACKLOG or self._wait_for_newer(after)

    def close(self) -> None:
        """End every session within about a second. Takes no lock, so a signal handler may call it."""
        self.closing = True

    def _wait_for_newer(self, event_id: int) -> bool:
        """Wait at most a second for an event newer than an id; return whether there is one."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest_id > event_id or self.closing, timeout=1.0)

    def _watch(self) -> None:
        """Read the newest id while there are viewers."""
        while True:
            try:
                last = self._store.events.last(1)
            except SQLAlchemyError as error:
                log.warning("live events: the store does not answer: %s", str(error).splitlines()[0])
                last = ()
            with self._changed:
                if last and last[0].id != self._newest_id:
                    self._newest_id = last[0].id
                    self._changed.notify_all()
                if self.closing or not self.viewers:
                    self._watching = False
                    return
            time.sleep(self._poll_s)
