"""Names of the processes of this machine, unique although pids are used again."""

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_STARTTIME = 19  # of the fields after the command's name in /proc/PID/stat: clock ticks from boot to start


@dataclass(frozen=True)
class ProcessName:
    """Name of a process, past or present. A pid is used again; with the start time the name is unique.

    Attributes
    ----------
    host, namespace : the machine and its pid namespace: containers may share a host's name, but not its pids.
    pid, started : the pid and its start in clock ticks since boot.
    """

    host: str
    pid: int
    started: int
    namespace: str

    @classmethod
    def of(cls, pid: int | None = None) -> "ProcessName":
        """Return the name of a running process, by default this one; raises ProcessLookupError when there is none."""
        number = os.getpid() if pid is None else pid
        return cls(socket.gethostname(), number, _started(number), _namespace())

    @classmethod
    def parse(cls, text: str) -> "ProcessName | None":
        """Return the name in the owner of a lease, or None when the text has another form."""
        parts = text.rsplit(":", 3)
        if len(parts) != 4 or not (parts[1].isdigit() and parts[2].isdigit()):
            return None
        return cls(parts[0], int(parts[1]), int(parts[2]), parts[3])

    @property
    def is_dead(self) -> bool:
        """Whether the process has certainly ended; known only of processes of this machine."""
        return (self.host, self.namespace) == (socket.gethostname(), _namespace()) and not self.is_alive

    @property
    def is_alive(self) -> bool:
        """Whether this very process runs here now (a zombie does not)."""
        try:
            return (self.host, self.namespace) == (socket.gethostname(), _namespace()) and (
                _started(self.pid) == self.started
            )
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
    return Path("/proc/self/ns/pid").readlink().name.removeprefix("pid:[").removesuffix("]")
