"""What the panel asks of whoever runs the stream, and the answer when nobody does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from contimg.errors import Misconfigured
from contimg.settings import Settings, load, scan_limit_s, shown
from contimg.store import Store

SCAN = "producer.scan"


class ServiceStatus(Protocol):
    """The service's process and what it uses; times are epoch seconds."""

    @property
    def running(self) -> bool: ...  # noqa: D102
    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def started_at(self) -> Any: ...  # noqa: D102
    @property
    def uptime_seconds(self) -> float | None: ...  # noqa: D102
    @property
    def cpu_percent(self) -> float | None: ...  # noqa: D102
    @property
    def memory_mb(self) -> float | None: ...  # noqa: D102
    @property
    def last_heartbeat(self) -> Any: ...  # noqa: D102
    @property
    def config(self) -> Any: ...  # noqa: D102
    @property
    def error(self) -> str | None: ...  # noqa: D102
    @property
    def paused(self) -> bool: ...  # noqa: D102
    @property
    def backend(self) -> str | None: ...  # noqa: D102
    @property
    def container(self) -> str | None: ...  # noqa: D102


class CommandOutcome(Protocol):
    """What became of a command."""

    @property
    def success(self) -> bool: ...  # noqa: D102
    @property
    def message(self) -> str: ...  # noqa: D102
    @property
    def pid(self) -> int | None: ...  # noqa: D102


class StreamingService(Protocol):
    """Starts, stops and observes the stream: `workers.service.StreamingServiceManager`, or a `ReadOnlyService`."""

    def status(self) -> ServiceStatus: ...  # noqa: D102
    def start(self) -> CommandOutcome: ...  # noqa: D102
    def stop(self) -> CommandOutcome: ...  # noqa: D102
    def restart(self) -> CommandOutcome: ...  # noqa: D102


@dataclass(frozen=True)
class Observed:
    """A status as far as the store alone can tell."""

    running: bool
    last_heartbeat: float | None
    paused: bool
    error: str | None = None
    config: Mapping[str, Any] | None = None
    pid: int | None = None
    started_at: float | None = None
    uptime_seconds: float | None = None
    cpu_percent: float | None = None
    memory_mb: float | None = None
    backend: str | None = None
    container: str | None = None


@dataclass(frozen=True)
class NotDone:
    """A command that nobody here can carry out."""

    message: str
    success: bool = False
    pid: int | None = None


class ReadOnlyService:
    """A panel beside a stream that somebody else runs: it sees the store and commands nothing.

    The stream counts as running while the producer's last successful scan is young (see `scan_limit_s`).
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def status(self) -> Observed:
        """Running or not by the age of the last scan of the incoming directory."""
        beat, error, poll_interval_s, keys = self._store.queue.last_beat(SCAN), None, 0.0, None
        try:
            config = load(self._settings)
            poll_interval_s, keys = config.poll_interval, shown(config)
        except Misconfigured as wrong:
            error = str(wrong)
        alive = beat is not None and self._store.database.clock() - beat <= scan_limit_s(poll_interval_s)
        return Observed(running=alive, last_heartbeat=beat, paused=self._store.queue.paused, error=error, config=keys)

    def start(self) -> NotDone:
        """Not here."""
        return self._not_done("start")

    def stop(self) -> NotDone:
        """Not here."""
        return self._not_done("stop")

    def restart(self) -> NotDone:
        """Not here."""
        return self._not_done("restart")

    def _not_done(self, command: str) -> NotDone:
        return NotDone(
            f"this panel runs no stream; {command} it where it runs (systemctl, docker compose, contimg run)"
        )
