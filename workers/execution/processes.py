"""Names of the processes of this machine, unique although pids are used again, and the files that show who is alive.

Each process that takes leases holds a locked liveness file; whoever can lock the file knows it is dead. The kernel
releases the lock with the process, however it ended, and shows that through every container that has the state
directory mounted, where a pid means nothing. On a file system of one machine all holders run on that machine. On any
other a lock need not be seen by all, so no process is taken for dead there, and leases end by their expiry.
"""

import fcntl
import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from contimg.common.files.filesystems import file_system
from contimg.common.files.locks import lock

log = logging.getLogger(__name__)
# A worker that stops releases the leases of its children itself, moments after they ended.
GRACE_S = 10.0
_NEW = ".new."

_STARTTIME = 19  # of the fields after the command's name in /proc/PID/stat: clock ticks from boot to start


@dataclass(frozen=True)
class ProcessName:
    """Name of a process, past or present. A pid is used again; with the start time the name is unique.

    Attributes
    ----------
    host : name of the machine then, for readers; it may be changed while the process runs.
    namespace : the pid namespace and the boot of the machine: containers may share a host's name, but not its pids.
    pid, started : the pid and its start in clock ticks since boot.
    """

    host: str
    pid: int
    started: int
    namespace: str

    @classmethod
    def of(cls, pid: int | None = None) -> "ProcessName":
        """Return the name of a running process.

        Parameters
        ----------
        pid : its pid; by default that of this process.

        Raises
        ------
        ProcessLookupError : there is no such process, or it is a zombie.
        """
        number = os.getpid() if pid is None else pid
        return cls(socket.gethostname(), number, _started(number), _namespace())

    @classmethod
    def parse(cls, text: str) -> "ProcessName | None":
        """Return the name in the owner of a lease.

        Parameters
        ----------
        text : `host:pid:started:namespace`, as `str` of a name gives it.

        Returns
        -------
        the name, or None when the text has another form.
        """
        parts = text.rsplit(":", 3)
        if len(parts) != 4 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])

    @property
    def is_dead(self) -> bool:
        """Whether the process has certainly ended; known only of processes of this machine."""
        inode, own_inode = (name.partition("@")[0] for name in (self.namespace, _namespace()))
        # The inode of a machine's first namespace is the same on every machine, and stays when the machine is rebooted.
        is_of_this_machine = self.namespace == _namespace() or (
            inode == own_inode and self.host == socket.gethostname()
        )
        return is_of_this_machine and not self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs here now (a zombie does not)."""
        inode = _namespace().partition("@")[0]  # without a boot: a name of an earlier version
        is_here = self.namespace == _namespace() or (self.namespace, self.host) == (inode, socket.gethostname())
        try:
            return is_here and _started(self.pid) == self.started
        except ProcessLookupError:
            return False

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started}:{self.namespace}"


def _started(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        raise ProcessLookupError(f"no process {pid}") from None
    if fields[0] in "ZX":
        raise ProcessLookupError(f"process {pid} has ended")
    return int(fields[_STARTTIME])


@lru_cache(maxsize=1)
def _namespace() -> str:
    namespace = Path("/proc/self/ns/pid").readlink().name.removeprefix("pid:[").removesuffix("]")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")  # of this machine, since its start
    return f"{namespace}@{boot[:8]}"


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
        """Remove the file of a dead process, once it holds no lease.

        Parameters
        ----------
        name : name of the process, as `dead` returns it.
        """
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
