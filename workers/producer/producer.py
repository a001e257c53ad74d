"""The producer: files in the incoming directory become groups in the store, and complete groups become messages."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import Transient
from contimg.store import FoundFile, Store
from workers.producer.scanner import Incoming, Seen
from workers.producer.watcher import Hints
from workers.scheduling.dispatcher import Dispatcher

log = logging.getLogger(__name__)
BEAT = "producer.scan"
ENDED = "producer.ended"  # a scan before it is no sign that anybody scans now
_FILES_A_TRANSACTION = 512


class Producer:
    """One loop over one directory: events are hints, the periodic scan guarantees. Two producers do no harm."""

    def __init__(
        self, store: Store, incoming: Incoming, dispatcher: Dispatcher, poll_interval_s: float, events: str = "auto"
    ) -> None:
        self._store = store
        self._incoming = incoming
        self._dispatcher = dispatcher
        self._poll_interval_s = poll_interval_s
        self._wake = threading.Event()
        self._hints = Hints(self._wake, events)
        self._trouble = ""
        self._broker_away = False

    def run(self, stop: threading.Event) -> None:
        """Scan and follow hints until `stop` is set; call `wake` to make it look at once."""
        try:
            while not stop.is_set():
                self._guarded(self.scan)
                self._follow_hints_until(time.monotonic() + self._poll_interval_s, stop)
        finally:
            self._hints.stop()

    def wake(self) -> None:
        """Let `run` look at `stop` now."""
        self._wake.set()

    def scan(self) -> None:
        """Look at every file, decide on groups past their timeout, and record the success: its age is health."""
        self._broker_away = False
        self._hints.watch(self._incoming.directory)
        self._take_in(self._incoming.scan())
        self._store.files.check_timeouts()
        self._dispatch()
        self._store.activity.beat(BEAT)

    def follow_hints(self) -> None:
        """Look at the files that events named since the last time."""
        seen = (self._incoming.look(name, finished=done) for name, done in self._hints.take().items())
        if self._take_in(one for one in seen if one):
            self._dispatch()

    def _follow_hints_until(self, deadline: float, stop: threading.Event) -> None:
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._wake.wait(left):
                self._wake.clear()
                self._guarded(self.follow_hints)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step; when store, broker or directory are away, say so once and leave the rest to the next scan."""
        try:
            step()
        except (Transient, SQLAlchemyError, OSError) as error:
            trouble = str(error).splitlines()[0]
            if trouble != self._trouble:
                log.error("%s", trouble)
            self._trouble = trouble
        except Exception:
            log.exception("unexpected; the next scan tries again")
        else:
            if self._trouble and step == self.scan:
                log.info("going on after: %s", self._trouble)
                self._trouble = ""

    def _take_in(self, files: Iterable[Seen]) -> bool:
        """Record files; whether a group became ready by it.

        So many in a transaction that a backlog is taken in fast and the store is never held long. Nothing is sent
        before all are recorded: of a backlog the newest may go first.
        """
        is_ready = False
        for some in _slices(files, _FILES_A_TRANSACTION):
            is_ready |= self._register(some)
            for one in some:
                self._incoming.taken(one)
        return is_ready

    def _register(self, files: Sequence[Seen]) -> bool:
        """Record files; whether a group became ready by it."""
        whole = []
        for one in files:
            if one.name is None or one.wrong:
                reason = one.wrong or "it has no name of a subband file"
                self._store.files.quarantine(one.path, reason, size=one.size, mtime=one.mtime)
            else:
                whole.append(FoundFile(one.path, one.size, one.mtime, one.name))
        arrivals = self._store.files.register(whole) if whole else ()
        return any(one.became_pending for one in arrivals)

    def _dispatch(self) -> None:
        """Send what there is room for; what is not sent now, the reconciler finds in the store.

        A broker that is away is asked once for each scan, so that files are taken in at their usual speed.
        """
        if self._broker_away:
            return
        try:
            self._dispatcher.fill()
        except Transient as error:
            self._broker_away = True
            log.error("complete groups wait for the reconciler: %s", error)


def _slices(files: Iterable[Seen], most: int) -> Iterator[list[Seen]]:
    """The files in lists of at most so many."""
    rest = iter(files)
    while some := list(islice(rest, most)):
        yield some
