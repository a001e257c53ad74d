"""Liveness files: each process that takes leases holds a locked file; whoever can lock the file knows it is dead.

The kernel releases the lock with the process, however it ended, and shows that through every container that has the
state directory mounted, where a pid means nothing. On a file system of one machine all holders run on that machine. On
any other a lock need not be seen by all, so no process is taken for dead there, and leases end by their expiry.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from contimg.files.filesystems import file_system, lock
from workers.execution.processes import ProcessName

log = logging.getLogger(__name__)
# A worker that stops releases the leases of its children itself, moments after they ended.
GRACE_S = 10.0
_NEW = ".new."


class LivenessFile:
    """The locked file of this process, until the process ends."""

    def __init__(self, state_dir: Path) -> None:
        directory = _directory(state_dir)
        self._file: IO[str] | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # Locked before it is renamed: no other process ever sees it without its lock.
            handle, unnamed = tempfile.mkstemp(dir=directory, prefix=_NEW)
            self._file = os.fdopen(handle, "w", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(unnamed).rename(directory / str(ProcessName.of()))
        except OSError as error:
            log.warning("%s: no liveness file (%s); leases end by their expiry", directory, error.strerror)


class LivenessFiles:
    """The liveness files of all processes that share a state directory."""

    def __init__(self, state_dir: Path, grace_s: float = GRACE_S) -> None:
        self._directory = _directory(state_dir)
        self._grace_s = grace_s
        self._dead_since: dict[str, float] = {}

    def dead(self) -> frozenset[str]:
        """Names of the processes that were found dead at least `grace_s` ago."""
        now = time.monotonic()
        names = {path.name for path in self._unlocked()}
        self._dead_since = {name: self._dead_since.get(name, now) for name in names}
        return frozenset(name for name, since in self._dead_since.items() if now - since >= self._grace_s)

    def forget(self, name: str) -> None:
        """Remove the file of a dead process, once it holds no lease."""
        (self._directory / name).unlink(missing_ok=True)

    def _unlocked(self) -> Iterator[Path]:
        if not self._directory.is_dir() or not file_system(self._directory).is_local:
            return
        for path in self._directory.iterdir():
            if not path.name.startswith(_NEW) and _is_unlocked(path):
                yield path


def _is_unlocked(path: Path) -> bool:
    with suppress(OSError):
        os.close(lock(path))
        return True
    return False


def _directory(state_dir: Path) -> Path:
    return state_dir / "living"
