"""File system events as hints that save waiting for the next scan. None of them is relied upon.

Renames from outside give only `created`, an overflow drops events, a directory made anew gives none at all: the
periodic scan is what guarantees.
"""

import logging
import threading
from collections import deque
from pathlib import Path

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from contimg.files.filesystems import file_system
from workers.producer.scanner import may_be_whole

log = logging.getLogger(__name__)
_MOST = 10_000  # beyond that a scan is quicker than looking at each
# The kernel is asked for no others: it would tell of every write into a file, and of every read.
_KINDS: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent, FileClosedEvent]


class Hints(FileSystemEventHandler):
    """Names of files that have just been renamed, closed or created in one directory.

    `wake` is set with each; `take` empties. A handler that raised would end watchdog's thread, so all it does here
    is put a name into a bounded queue.
    """

    def __init__(self, wake: threading.Event, mode: str = "auto") -> None:
        self.wake = wake
        self._mode = mode
        self._names: deque[tuple[str, bool]] = deque(maxlen=_MOST)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._trouble = ""

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the name; a rename or a close by the writer says that the file is finished."""
        if event.is_directory or event.event_type not in ("created", "moved", "closed"):
            return
        place = event.dest_path if event.event_type == "moved" else event.src_path
        name = Path(place if isinstance(place, str) else bytes(place).decode(errors="surrogateescape")).name
        if may_be_whole(name):
            self._names.append((name, event.event_type != "created"))
            self.wake.set()

    def take(self) -> dict[str, bool]:
        """The names since the last time, each with whether it is known to be finished."""
        names: dict[str, bool] = {}
        while self._names:
            name, finished = self._names.popleft()
            names[name] = names.get(name, False) or finished
        return names

    def watch(self, directory: Path) -> None:
        """Watch the directory that now bears this path.

        A new one under the old name is watched anew, and so is one whose observer has died or never came to life.
        """
        try:
            found = directory.stat()
        except OSError:
            self.stop()
            return
        identity = (found.st_dev, found.st_ino)
        if identity == self._watched and self._is_alive:
            return
        self.stop()
        self._watched = identity
        kind = file_system(directory)
        if self._mode == "polling" or (self._mode == "auto" and not kind.raises_events):
            self._say(logging.INFO, f"{directory}: on {kind.name}, looked at by the periodic scan alone")
            return
        observer = Observer()
        try:
            observer.schedule(self, str(directory), recursive=False, event_filter=_KINDS)
            observer.start()
        except OSError as error:  # no inotify instances left, or a file system without events
            self._say(logging.WARNING, f"{directory}: no events ({error}); the periodic scan goes on without them")
        else:
            self._observer, self._trouble = observer, ""

    def stop(self) -> None:
        """Watch nothing."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join(timeout=5)

    @property
    def _is_alive(self) -> bool:
        observer = self._observer
        return observer is not None and observer.is_alive() and all(one.is_alive() for one in observer.emitters)

    def _say(self, level: int, trouble: str) -> None:
        """Once, for it is tried at every scan."""
        if trouble != self._trouble:
            log.log(level, "%s", trouble)
        self._trouble = trouble
