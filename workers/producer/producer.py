"""The producer: registers files of the incoming directory in the store and dispatches complete groups."""

import logging
import threading
import time
from collections.abc import Iterable
from itertools import islice

from contimg.formats.uvh5.grouping import SubbandFile
from contimg.store import Store
from workers import logs
from workers.producer import SCAN_BEAT
from workers.producer.scanner import IncomingFile, IncomingScanner, RejectedFile
from workers.producer.watcher import IncomingWatcher
from workers.scheduling.dispatcher import Dispatcher

log = logging.getLogger(__name__)
_FILES_PER_TRANSACTION = 512


class Producer:
    """Scans one directory periodically and follows its events in between. Two producers do no harm.

    Parameters
    ----------
    store : store that files are registered in.
    scanner : scanner of the incoming directory.
    dispatcher : sends the messages of complete groups.
    poll_interval_s : time between two scans, s.
    events : mode of the `IncomingWatcher`.
    """

    def __init__(
        self,
        store: Store,
        scanner: IncomingScanner,
        dispatcher: Dispatcher,
        poll_interval_s: float,
        events: str = "auto",
    ) -> None:
        self._store = store
        self._scanner = scanner
        self._dispatcher = dispatcher
        self._poll_interval_s = poll_interval_s
        self._wake = threading.Event()
        self.watcher = IncomingWatcher(self._wake, events)
        self._steps = logs.RepeatedSteps()
        self._is_broker_away = False

    def run(self, stop: threading.Event) -> None:
        """Scan and follow events until `stop` is set; an error is logged once, and the next scan tries again.

        Parameters
        ----------
        stop : event that ends the run; `wake` makes it be checked at once.
        """
        try:
            while not stop.is_set():
                self._steps.run("scan", self.scan)
                deadline = time.monotonic() + self._poll_interval_s
                while not stop.is_set() and (left_s := deadline - time.monotonic()) > 0:
                    if self._wake.wait(left_s):
                        self._wake.clear()
                        self._steps.run("events", self.process_events)
        finally:
            self.watcher.stop()

    def wake(self) -> None:
        """Make `run` check `stop` now."""
        self._wake.set()

    def scan(self) -> None:
        """Register every new file, apply the collection timeout, dispatch, and record the time of the scan.

        The age of that time is the health of the producer.

        Raises
        ------
        Transient : the incoming directory cannot be read.
        """
        self._is_broker_away = False
        self.watcher.watch(self._scanner.directory)
        self._scanner.forget(self._store.files.missing())
        self._register(self._scanner.scan())
        self._store.files.check_timeouts()
        self._dispatch()
        self._store.activity.beat(SCAN_BEAT)

    def process_events(self) -> None:
        """Register the files that events have named since the last call."""
        names = self.watcher.take_names().items()
        files = (self._scanner.check(name, finished=finished) for name, finished in names)
        if self._register(file for file in files if file):
            self._dispatch()

    def _register(self, files: Iterable[IncomingFile]) -> bool:
        """Record files in transactions of limited size; return whether a group became ready.

        Nothing is dispatched before all files are recorded: the newest group of a backlog may come first.
        """
        remaining, is_ready = iter(files), False
        while batch := list(islice(remaining, _FILES_PER_TRANSACTION)):
            for file in batch:
                if isinstance(file, RejectedFile):
                    self._store.files.quarantine(file.path, file.reason, size=file.size, mtime=file.mtime)
            arrivals = self._store.files.register([file for file in batch if isinstance(file, SubbandFile)])
            is_ready |= any(arrival.became_pending for arrival in arrivals)
            for file in batch:
                self._scanner.mark_registered(file)
        return is_ready

    def _dispatch(self) -> None:
        """Send as many messages as the limit allows; the reconciler sends the others.

        A broker that is away is contacted once per scan, so that files are registered at the usual speed.
        """
        if not self._is_broker_away:
            self._is_broker_away = self._steps.run("dispatch", self._dispatcher.fill) is not None
