"""`/api/status` and `/api/streaming`: the stream's condition, its service, rates, and commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contimg.store import EventRecord, FileRecord, Rates, Running, Stage, State, StoredImage
from web.context import Panel, StreamOverview, current_panel
from web.http.api import Api
from web.streaming.commands import run_command
from web.streaming.condition import Condition
from web.tiles import schemas  # noqa: F401 (adds the URLs to images)
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus

streaming = Api("streaming_api", "/api")


@dataclass(frozen=True)
class FailedGroup:
    """A group that ended in an error."""

    group: str
    error: str


@dataclass(frozen=True)
class StreamRates(Rates):
    """Rates of the last hour; null until something was processed.

    `latency_s`: median time from a group's first file to its image, s. `image_after_s`, `image_after_p95_s`: median
    and 95th percentile of the time from its last file, s. `real_time_factor`: seconds of sky per second of processing.
    """

    real_time_factor: float | None = None


@dataclass(frozen=True)
class StreamStatus:
    """The stream at one time, from one consistent read of the store."""

    at: float
    condition: Condition
    service: ServiceStatus
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    running: tuple[Running, ...]
    oldest_pending_s: float | None
    scan_age_s: float | None
    rates: StreamRates
    set_aside_count: int
    set_aside: tuple[FileRecord, ...]
    failed: tuple[FailedGroup, ...]
    images: tuple[StoredImage, ...]
    warnings: tuple[EventRecord, ...]


@dataclass(frozen=True, kw_only=True)
class StreamMetrics(StreamRates):
    """Rates, load and backlog.

    `backlog`: groups that are ready and not done. `catch_up_s`: time until they are done, s; null while their number
    does not fall. `cpu_percent`: 100 is one core.
    """

    at: float
    cpu_percent: float | None
    memory_mb: float | None
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    oldest_pending_s: float | None
    backlog: int
    catch_up_s: float | None
    scan_age_s: float | None
    set_aside_count: int


@streaming.read("/status", StreamStatus)
def read() -> StreamStatus:
    """Condition, service, queue, rates, newest products and warnings."""
    panel = current_panel()
    return panel.shared("status", lambda: _status(panel))


@streaming.read("/streaming/status", ServiceStatus)
def read_status() -> ServiceStatus:
    """The service's process, its load, and the configuration in force."""
    return current_panel().service.status()


@streaming.read("/streaming/health", ServiceHealth)
def read_health() -> ServiceHealth:
    """Healthy while the incoming directory is scanned and work advances, or the stream is paused."""
    overview = current_panel().overview(shown=0)
    condition, service = overview.condition, overview.service
    return ServiceHealth(
        healthy=condition.healthy,
        running=service.running,
        uptime_seconds=service.uptime_seconds,
        cpu_percent=service.cpu_percent,
        memory_mb=service.memory_mb,
        error=None if condition.healthy else f"{condition.state}: {condition.reason}",
    )


@streaming.read("/streaming/metrics", StreamMetrics)
def read_metrics() -> StreamMetrics:
    """Rates, load and backlog now."""
    overview = current_panel().overview(shown=0)
    snapshot = overview.snapshot
    return StreamMetrics(
        **_rates(overview),
        at=snapshot.at,
        cpu_percent=overview.service.cpu_percent,
        memory_mb=overview.service.memory_mb,
        states=snapshot.states,
        waiting=snapshot.waiting,
        oldest_pending_s=snapshot.oldest_pending_s,
        backlog=overview.activity.waiting,
        catch_up_s=overview.activity.catch_up_s,
        scan_age_s=overview.scan_age_s,
        set_aside_count=snapshot.set_aside_count,
    )


@streaming.command("/streaming/pause", CommandOutcome)
def pause() -> CommandOutcome:
    """Start no further stage; running stages finish."""
    return run_command("pause")


@streaming.command("/streaming/resume", CommandOutcome)
def resume() -> CommandOutcome:
    """Start stages again."""
    return run_command("resume")


@streaming.command("/streaming/start", CommandOutcome)
def start() -> CommandOutcome:
    """Start the service."""
    return run_command("start")


@streaming.command("/streaming/stop", CommandOutcome)
def stop() -> CommandOutcome:
    """Stop the service after the running stages."""
    return run_command("stop")


@streaming.command("/streaming/restart", CommandOutcome)
def restart() -> CommandOutcome:
    """Stop the service and start it again."""
    return run_command("restart")


def _rates(overview: StreamOverview) -> dict[str, Any]:
    return {**vars(overview.snapshot.rates), "real_time_factor": overview.real_time_factor}


def _status(panel: Panel) -> StreamStatus:
    overview = panel.overview()
    snapshot = overview.snapshot
    return StreamStatus(
        at=snapshot.at,
        condition=overview.condition,
        service=overview.service,
        states=snapshot.states,
        waiting=snapshot.waiting,
        running=snapshot.running,
        oldest_pending_s=snapshot.oldest_pending_s,
        scan_age_s=overview.scan_age_s,
        rates=StreamRates(**_rates(overview)),
        set_aside_count=snapshot.set_aside_count,
        set_aside=snapshot.set_aside,
        failed=tuple(FailedGroup(group, error) for group, error in snapshot.failed),
        images=snapshot.images,
        warnings=snapshot.warnings,
    )
