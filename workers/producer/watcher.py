"""File system events of the incoming directory. They shorten the delay until a file is registered.

No event is relied upon: renames from outside the directory raise only `created`, an overflow drops events, and a
directory that is removed and created again raises none. The periodic scan finds every file.
"""

import logging
import os
import threading
from collections import deque
from pathlib import Path

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from contimg.common.files.filesystems import file_system
from workers.producer.scanner import is_candidate

log = logging.getLogger(__name__)
_MAX_EVENTS = 10_000  # for more files than that a scan is faster
# Only these kinds are requested: the kernel would also report every write into a file and every read.
_KINDS: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent, FileClosedEvent]


class IncomingWatcher(FileSystemEventHandler):
    """Collects the names of files that have just been renamed, closed or created in one directory.

    The handler only appends to a bounded queue: an exception in it would end the observer's thread.

    Parameters
    ----------
    wake : event that is set when a name has been added.
    mode : `auto` (watch where the file system raises events), `inotify` or `polling` (never watch).
    """

    def __init__(self, wake: threading.Event, mode: str = "auto") -> None:
        self.wake = wake
        self._mode = mode
        self._names: deque[tuple[str, bool]] = deque(maxlen=_MAX_EVENTS)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None  # device and inode
        self._last_message = ""

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Add the name of the event's file; a rename or a close by the writer marks the file as finished.

        Parameters
        ----------
        event : event of the observer; directories and other kinds of events are ignored.
        """
        if event.is_directory or event.event_type not in ("created", "moved", "closed"):
            return
        name = Path(os.fsdecode(event.dest_path or event.src_path)).name
        if is_candidate(name):
            self._names.append((name, event.event_type != "created"))
            self.wake.set()

    def take_names(self) -> dict[str, bool]:
        """Return and clear the collected names, each with whether the file is known to be finished."""
        names: dict[str, bool] = {}
        while self._names:
            name, finished = self._names.popleft()
            names[name] = names.get(name, False) or finished
        return names

    def watch(self, directory: Path) -> None:
        """Watch the directory that is at this path now.

        The observer is replaced when the directory is another one under the same name, and when it has died.

        Parameters
        ----------
        directory : the incoming directory; while it does not exist, nothing is watched.
        """
        try:
            stat = directory.stat()
        except OSError:
            self.stop()
            return
        identity = (stat.st_dev, stat.st_ino)
        if identity == self._watched and self._is_alive:
            return
        self.stop()
        self._watched = identity
        kind = file_system(directory)
        if self._mode == "polling" or (self._mode == "auto" and not kind.raises_events):
            self._log_once(logging.INFO, f"{directory}: file system {kind.name}; found by the periodic scan only")
            return
        observer = Observer()
        try:
            observer.schedule(self, str(directory), recursive=False, event_filter=_KINDS)
            observer.start()
        except OSError as error:  # no inotify instance is free, or the file system has no events
            self._log_once(
                logging.WARNING,
                f"{directory}: no file system events ({error}); found by the periodic scan only; "
                "see `contimg doctor` for the limits of inotify",
            )
        else:
            self._observer, self._last_message = observer, ""

    def stop(self) -> None:
        """Stop watching."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join(timeout=5)

    @property
    def _is_alive(self) -> bool:
        observer = self._observer
        return observer is not None and observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def _log_once(self, level: int, message: str) -> None:
        if message != self._last_message:
            log.log(level, "%s", message)
        self._last_message = message
