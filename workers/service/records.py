"""State of the service: the supervisor's file and lock, the answers of the manager, and the signals between them."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.filesystems import write_fault
from contimg.common.files.locks import lock
from contimg.common.files.writing import atomic_file
from contimg.formats.records import NO_UNIT, about
from workers.execution.processes import ProcessName

RECORD_INTERVAL_S = 2.0
STOP_STREAM, START_STREAM, RESTART_STREAM = signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN
Command = Literal["start", "stop", "restart"]
Action = Command | Literal["pause", "resume"]
PAST: Mapping[Command, str] = {"start": "started", "stop": "stopped", "restart": "restarted"}


@dataclass(frozen=True)
class ServiceRecord:
    """STATE/service.json, written by the supervisor every two seconds.

    Attributes
    ----------
    process : name of the supervisor's process (see ProcessName).
    stream : starting, running, stopping or stopped; the panel may run while the stream is stopped.
    since : time at which the stream entered that state, seconds since 1970.
    children : pid by name of the children that run.
    restarts : number of restarts by name of child.
    cpu_percent, memory_mb : usage of the supervisor and its descendants; 100 % is one core.
    error : what is wrong with the service, or None.
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


Uptime = Annotated[float | None, about("Time since the start; null where it is not known", "s", 45000.0)]
CpuPercent = Annotated[float | None, about("Usage of the processor; 100 % is one core", "%", 61.0)]
MemoryMB = Annotated[float | None, about("Memory in use", "MB", 2212.0)]


@dataclass(frozen=True)
class PartsStatus:
    """State of the stream's processes."""

    running: Annotated[bool, about("Whether the stream runs", example=True)]
    container: Annotated[
        str | None, about("Container or unit of the producer; null without one", example="contimg-stream-1")
    ] = None
    pid: Annotated[
        int | None, about("Pid of the supervisor or of the producer; null where it is not known", NO_UNIT, 4711)
    ] = None
    started_at: Annotated[float | None, about("When it started")] = None
    cpu_percent: CpuPercent = None
    memory_mb: MemoryMB = None


@dataclass(frozen=True, kw_only=True)
class ServiceStatus(PartsStatus):
    """The answer of GET /api/streaming/status. Times are seconds since 1970."""

    uptime_seconds: Uptime = None
    last_heartbeat: Annotated[float | None, about("Last scan of the incoming directory")]
    config: Annotated[
        Mapping[str, Any],
        about("The configuration in force, by key", "as the keys", {"input_dir": "/data/incoming", "max_workers": 4}),
    ]
    error: Annotated[
        str | None,
        about("What is wrong with the service; null for nothing", example="the producer was restarted 5 times"),
    ]
    paused: Annotated[bool, about("Whether no stage is started", example=False)]
    backend: Annotated[
        str | None,
        about(
            "What runs the stream: process, docker, systemd or agent; null where nothing here does", example="process"
        ),
    ] = "process"


@dataclass(frozen=True)
class ServiceHealth:
    """The answer of GET /api/streaming/health."""

    healthy: Annotated[bool, about("Whether the stream works, or is paused on purpose", example=True)]
    running: Annotated[bool, about("Whether the stream runs", example=True)]
    uptime_seconds: Uptime
    cpu_percent: CpuPercent
    memory_mb: MemoryMB
    error: Annotated[
        str | None,
        about(
            "Why it is not healthy; null for nothing",
            example="stalled: the incoming directory was not scanned for 60 min",
        ),
    ]


@dataclass(frozen=True)
class CommandOutcome:
    """The answer to a command: success, a message, and the supervisor's pid."""

    success: Annotated[bool, about("Whether the command was carried out", example=True)]
    message: Annotated[str, about("What was done, or why nothing was", example="started")]
    pid: Annotated[int | None, about("Pid of the supervisor; null where it is not known", NO_UNIT, 4711)] = None


class NoEffect(CommandOutcome):
    """The outcome of a command that was not needed; the API answers it with status 200, as its clients expect."""


class TooEarly(CommandOutcome):
    """The outcome of a command that is refused for now and can be given later."""


def read_record(state_dir: Path) -> ServiceRecord | None:
    """Return the record of the supervisor that runs on a state directory.

    Parameters
    ----------
    state_dir : state directory of the service.

    Returns
    -------
    the record; None when there is none, when it cannot be read, or after the supervisor was killed.
    """
    try:
        record = ServiceRecord(**json.loads(_record_path(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    process = ProcessName.parse(record.process)
    return record if process and process.is_alive else None


def write_record(state_dir: Path, record: ServiceRecord) -> None:
    """Replace the record atomically; on a full disk, overwrite it, which needs no new block.

    Parameters
    ----------
    state_dir : state directory of the service.
    record : the new record.

    Raises
    ------
    OSError : no file can be created; the record is written if it has been written before and is not read-only.
    """
    path, text = _record_path(state_dir), json.dumps(asdict(record)).encode()
    try:
        with atomic_file(path) as file:
            file.write(text)
    except OSError:
        with suppress(OSError), path.open("r+b") as file:
            file.write(text.ljust(path.stat().st_size))
        raise


def remove_record(state_dir: Path) -> None:
    """Remove the record of a supervisor that has stopped, if there is one.

    Parameters
    ----------
    state_dir : state directory of the service.
    """
    with suppress(OSError):  # a record of a process that has ended is not read
        _record_path(state_dir).unlink(missing_ok=True)


def last_supervised_at(state_dir: Path) -> float:
    """Return when a supervisor last ran on a state directory.

    Parameters
    ----------
    state_dir : state directory of the service.

    Returns
    -------
    the time, seconds since 1970; 0.0 if none ever did.
    """
    files = (_record_path(state_dir), _lock_path(state_dir))
    return max((path.stat().st_mtime for path in files if path.exists()), default=0.0)


class SupervisorLock:
    """Lock of the one supervisor of a state directory; the kernel releases it when the process dies.

    Raises
    ------
    Misconfigured : another supervisor runs on the directory, or this user may not write to it.
    Transient : the directory cannot be written for another reason.
    """

    def __init__(self, state_dir: Path) -> None:
        path = _lock_path(state_dir)
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            path.touch()
            self._descriptor = lock(path)
            path.write_text(f"{os.getpid()}\n", encoding="utf-8")
        except BlockingIOError:
            raise Misconfigured(
                f"{state_dir}: `contimg run` already runs here (pid {path.read_text(encoding='utf-8').strip()}); stop "
                "it, or set PIPELINE_STATE_DIR to another directory"
            ) from None
        except OSError as error:
            raise write_fault(path) or Transient(f"{path}: {error.strerror}; check the state directory") from None

    def release(self) -> None:
        """Release the lock; the file's modification time is the time of the end."""
        with suppress(OSError):
            os.utime(self._descriptor)
        os.close(self._descriptor)


def _lock_path(state_dir: Path) -> Path:
    return state_dir / "service.lock"


def _record_path(state_dir: Path) -> Path:
    return state_dir / "service.json"
