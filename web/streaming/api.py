"""`/api/status` and `/api/streaming`: the stream's condition, its service, rates, and commands."""

from collections.abc import Mapping
from dataclasses import dataclass

from contimg.store import Rates, Stage, State, Status
from web.context import current_panel
from web.http.api import Api
from web.http.schemas import RecordSchema, computes
from web.streaming.commands import run_command
from web.streaming.condition import Condition
from web.tiles import schemas  # noqa: F401 (adds the URLs to images)
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus

streaming = Api("streaming_api", "/api")


@computes(Rates)
class RatesSchema(RecordSchema):
    """What the answers of rates have beside the fields of the record."""

    real_time_factor: float | None


@dataclass(frozen=True, kw_only=True)
class StreamStatus(Status):
    """The stream at one time, from one consistent read of the store."""

    condition: Condition
    service: ServiceStatus
    scan_age_s: float | None


@dataclass(frozen=True, kw_only=True)
class StreamMetrics(Rates):
    """Rates of the last hour, load and backlog.

    `latency_s`: median time from a group's first file to its image, s. `image_after_s`, `image_after_p95_s`: median
    and 95th percentile of the time from its last file, s. `real_time_factor`: seconds of sky per second of processing.
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
    overview = current_panel().overview()
    return StreamStatus(
        **vars(overview.snapshot),
        condition=overview.condition,
        service=overview.service,
        scan_age_s=overview.scan_age_s,
    )


@streaming.read("/streaming/status", ServiceStatus)
def read_status() -> ServiceStatus:
    """The service's process, its load, and the configuration in force."""
    return current_panel().service.status()


@streaming.read("/streaming/health", ServiceHealth)
def read_health() -> ServiceHealth:
    """Healthy while the incoming directory is scanned and work advances, or the stream is paused."""
    overview = current_panel().overview(shown=0)
    condition, service = overview.condition, overview.service
    error = None if condition.healthy else f"{condition.state}: {condition.reason}"
    return ServiceHealth(
        condition.healthy, service.running, service.uptime_seconds, service.cpu_percent, service.memory_mb, error
    )


@streaming.read("/streaming/metrics", StreamMetrics)
def read_metrics() -> StreamMetrics:
    """Rates, load and backlog now."""
    overview = current_panel().overview(shown=0)
    snapshot = overview.snapshot
    return StreamMetrics(
        **vars(snapshot.rates),
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
