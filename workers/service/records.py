"""What the service says about itself: the file that the supervisor writes, and the answers of the manager."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contimg.errors import Misconfigured
from contimg.files.writing import write_text
from workers.execution.processes import ProcessName

RECORD_EVERY_S = 2.0


@dataclass(frozen=True)
class ServiceRecord:
    """STATE/service.json, written by the supervisor every other second.

    Attributes
    ----------
    process : the supervisor (see ProcessName).
    stream : starting, running, stopping or stopped; the panel may live on while the stream is stopped.
    since : when the stream came into that state, epoch seconds.
    children : pid by name, of those that run.
    restarts : how often each child had to be started again.
    cpu_percent, memory_mb : of the supervisor and everything below it; 100 % is one core.
    """

    process: str
    stream: str
    since: float
    children: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    cpu_percent: float = 0.0
    memory_mb: float = 0.0
    error: str | None = None

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        name = ProcessName.parse(self.process)
        return name.pid if name else 0


@dataclass(frozen=True)
class ServiceStatus:
    """The answer of GET /api/streaming/status. Times are epoch seconds; 100 % is one core.

    Attributes
    ----------
    backend : who runs the stream: process, docker, systemd, or the agent for one of these.
    container : the producer's container or unit, where it has one.
    """

    running: bool
    pid: int | None
    started_at: float | None
    uptime_seconds: float | None
    cpu_percent: float | None
    memory_mb: float | None
    last_heartbeat: float | None
    config: Mapping[str, Any]
    error: str | None
    paused: bool
    backend: str | None = "process"
    container: str | None = None


@dataclass(frozen=True)
class ServiceHealth:
    """The answer of GET /api/streaming/health."""

    healthy: bool
    running: bool
    uptime_seconds: float | None
    cpu_percent: float | None
    memory_mb: float | None
    error: str | None


@dataclass(frozen=True)
class CommandOutcome:
    """The answer to a command: whether it was done, in words, and the supervisor's pid."""

    success: bool
    message: str
    pid: int | None = None


def read_record(state_dir: Path) -> ServiceRecord | None:
    """The record of the supervisor that lives on this state directory, or None; what a killed one left counts not."""
    try:
        record = ServiceRecord(**json.loads(_path(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    process = ProcessName.parse(record.process)
    return record if process and process.is_alive else None


def write_record(state_dir: Path, record: ServiceRecord) -> None:
    """Replace the record, whole."""
    write_text(_path(state_dir), json.dumps(asdict(record)))


def last_sign(state_dir: Path) -> float:
    """When a supervisor on this state directory last showed life, epoch seconds; 0.0 when there never was one."""
    files = (_path(state_dir), _lock(state_dir))
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


def remove_record(state_dir: Path) -> None:
    """Say that no supervisor runs."""
    _path(state_dir).unlink(missing_ok=True)


class Claim:
    """The right to run the one supervisor of a state directory; the kernel takes it back when the process dies."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._file = _lock(state_dir).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise Misconfigured(
                f"{state_dir}: `contimg run` is running here already (pid {holder}); stop it, or give another "
                "directory in PIPELINE_STATE_DIR"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def give_back(self) -> None:
        """Let another supervisor run; the file's time tells when this one ended."""
        os.utime(self._file.fileno())
        self._file.close()


def _lock(state_dir: Path) -> Path:
    return state_dir / "service.lock"


def _path(state_dir: Path) -> Path:
    return state_dir / "service.json"
