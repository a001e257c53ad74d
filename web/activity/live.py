"""Live events: one watcher of the store wakes every viewer: while it is quiet, fifty cost no more than one."""

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
    """Viewers of the event log.

    `capacity` viewers at a time, each a thread of the server; each session ends after `session_s` and the browser
    comes back by itself, so that a forgotten tab holds no thread for ever.
    """

    def __init__(self, store: Store, capacity: int, *, poll_s: float = POLL_S, session_s: float = SESSION_S) -> None:
        self.capacity = capacity
        self.viewers = 0
        self.closing = False
        self._store = store
        self._poll_s = poll_s
        self._session_s = session_s
        self._news = threading.Condition()
        self._newest = 0
        self._watching = False

    def add_viewer(self) -> bool:
        """Take a place; False when there is none. Who got one calls `leave` once."""
        with self._news:
            if self.viewers >= self.capacity or self.closing:
                return False
            self.viewers += 1
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="live-events", daemon=True).start()
            return True

    def remove_viewer(self) -> None:
        """Give the place back."""
        with self._news:
            self.viewers -= 1

    def follow(self, after: int, gone: Callable[[], bool] = lambda: False) -> Iterator[EventRecord | None]:
        """Events newer than an id as they come, and None whenever it has been quiet for a while.

        Ends after the session's time, at `close`, and when `gone()`, asked about once a second, says that the viewer
        has left.
        """
        ends, quiet_since = time.monotonic() + self._session_s, time.monotonic()
        look = True
        while not self.closing and not gone() and time.monotonic() < ends:
            fresh = self._store.events.after(after, BACKLOG) if look else ()
            for event in fresh:
                after = event.id
                yield event
            if fresh:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= HEARTBEAT_S:
                quiet_since = time.monotonic()
                yield None
            look = len(fresh) == BACKLOG or self._wait_beyond(after)

    def close(self) -> None:
        """Let every viewer go within about a second. Takes no lock, so a signal handler may call it."""
        self.closing = True

    def _wait_beyond(self, event_id: int) -> bool:
        """Sleep until there is an event newer than an id, at most a second; whether there is."""
        with self._news:
            return self._news.wait_for(lambda: self._newest > event_id or self.closing, timeout=1.0)

    def _watch(self) -> None:
        """Look for news while anybody wants to know."""
        while True:
            try:
                last = self._store.events.last(1)
            except SQLAlchemyError as error:
                log.warning("live events: the store does not answer: %s", str(error).splitlines()[0])
                last = ()
            with self._news:
                if last and last[0].id != self._newest:
                    self._newest = last[0].id
                    self._news.notify_all()
                if self.closing or not self.viewers:
                    self._watching = False
                    return
            time.sleep(self._poll_s)
