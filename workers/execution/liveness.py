"""Signs of life: each process that takes leases holds a locked file, and who can lock it knows that it is dead.

The kernel lets go of the lock with the process, however it ended, and shows it through every container that has the
state directory mounted; a pid says nothing there. On a file system of one machine all holders run on that machine. On
any other a lock need not reach all of them, so nobody is called dead there, and leases end by their time.
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
# A worker that is told to stop gives back by itself what its children had, moments after they ended.
GRACE_S = 10.0
_NEW = ".new."


class Sign:
    """This process's sign, from its making to the process's end."""

    def __init__(self, state_dir: Path) -> None:
        directory = _directory(state_dir)
        self._file: IO[str] | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # Locked before it bears its name: no other process ever sees it without its lock.
            handle, unnamed = tempfile.mkstemp(dir=directory, prefix=_NEW)
            self._file = os.fdopen(handle, "w", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(unnamed).rename(directory / str(ProcessName.of()))
        except OSError as error:
            log.warning("%s: no sign of life here (%s); after a crash the lease has to end", directory, error.strerror)


class Signs:
    """The signs of all processes on one state directory, as one of them sees them."""

    def __init__(self, state_dir: Path, grace_s: float = GRACE_S) -> None:
        self._directory = _directory(state_dir)
        self._grace_s = grace_s
        self._found_dead: dict[str, float] = {}

    def dead(self) -> frozenset[str]:
        """Names of processes that were dead at the first look that is at least the grace ago."""
        now = time.monotonic()
        names = {path.name for path in self._of_the_dead()}
        self._found_dead = {name: self._found_dead.get(name, now) for name in names}
        return frozenset(name for name, since in self._found_dead.items() if now - since >= self._grace_s)

    def forget(self, name: str) -> None:
        """Take a dead process's sign away, once nothing is in its name any more."""
        (self._directory / name).unlink(missing_ok=True)

    def _of_the_dead(self) -> Iterator[Path]:
        if not self._directory.is_dir() or not file_system(self._directory).is_local:
            return
        for path in self._directory.iterdir():
            if not path.name.startswith(_NEW) and _is_free(path):
                yield path


def _is_free(path: Path) -> bool:
    with suppress(OSError):
        os.close(lock(path))
        return True
    return False


def _directory(state_dir: Path) -> Path:
    return state_dir / "living"
