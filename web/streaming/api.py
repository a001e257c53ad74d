"""`/api/status` and `/api/streaming`: the stream's condition, its service, rates, and commands."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from contimg.formats.records import make_record
from contimg.instrument.dsa110 import BAND
from contimg.settings import StreamingConfig
from contimg.store import Rates, Stage, State, Status
from web.configuration.api import OptionalChanges
from web.context import current_panel
from web.http.api import Api
from web.http.parameters import Listing
from web.streaming.commands import run_command
from web.streaming.condition import Condition
from workers.scheduling.calibrator_tiles import CalibratorTiles
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus

streaming = Api("streaming_api", "/api")


@dataclass(frozen=True, kw_only=True)
class RecentGroup:
    """A group: its state, the times of its first file and of its last change, and its subband files.

    `has_calibrator`: a calibrator is in the beam, by the time of the group and the declination of the newest
    Measurement Set.
    """

    group_id: str
    state: State
    received_at: float
    last_update: float
    subbands_present: int
    expected_subbands: int
    has_calibrator: bool


@dataclass(frozen=True)
class SetSummary:
    """A caltable set: the paths of its tables, how many of them are in force, and how many there are."""

    set_name: str
    tables: tuple[str, ...]
    active: int
    total: int


@dataclass(frozen=True, kw_only=True)
class StreamStatus(Status):
    """The stream at one time, from one consistent read of the store.

    `queue`: groups in each state, and their `total` without discarded ones.
    """

    condition: Condition
    service: ServiceStatus
    scan_age_s: float | None
    queue: Mapping[str, int]
    recent_groups: tuple[RecentGroup, ...]
    calibration_sets: tuple[SetSummary, ...]


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
    service_running: bool
    uptime_seconds: float | None
    queue_stats: Mapping[State, int]
    processing_rate_per_hour: float


class StatusQuery(Listing):
    """Maximum number of entries in each list of the status."""

    limit: int = Field(5, ge=1, le=200)


@streaming.read("/status", StreamStatus)
def read(query: StatusQuery) -> StreamStatus:
    """Condition, service, queue, rates, newest groups, products, caltable sets and warnings; `?limit=`."""
    panel = current_panel()
    overview, config = panel.overview(query.limit), panel.valid_config()
    groups = panel.store.files.groups(None, query.limit)
    has_calibrator = CalibratorTiles.of(panel.store).have_calibrator([group.reference_s for group in groups])
    states = {state.value: n for state, n in overview.snapshot.states.items() if state != State.DISCARDED}
    return make_record(
        StreamStatus,
        overview,
        overview.snapshot,
        queue={**states, "total": sum(states.values())},
        recent_groups=tuple(
            RecentGroup(
                group_id=group.id, state=group.state, received_at=group.created_at, last_update=group.updated_at,
                subbands_present=len(group.subbands), has_calibrator=has_calibrator[number],
                expected_subbands=config.expected_subbands if config else BAND.subbands,
            )
            for number, group in enumerate(groups)
        ),
        calibration_sets=tuple(
            SetSummary(
                caltable_set.name, tuple(str(table.path) for table in caltable_set.tables),
                len(caltable_set.tables) if caltable_set.in_force else 0, len(caltable_set.tables),
            )
            for caltable_set in panel.store.registry.sets(query.limit)
        ),
    )  # fmt: skip


@streaming.read("/streaming/status", ServiceStatus)
def read_status() -> ServiceStatus:
    """The service's process, its load, and the configuration in force."""
    return current_panel().service.status()


@streaming.read("/streaming/health", ServiceHealth)
def read_health() -> ServiceHealth:
    """Healthy while the incoming directory is scanned and work advances, or the stream is paused."""
    overview = current_panel().overview(shown=0)
    condition = overview.condition
    error = None if condition.healthy else f"{condition.state}: {condition.reason}"
    return make_record(ServiceHealth, condition, overview.service, error=error)


@streaming.read("/streaming/metrics", StreamMetrics)
def read_metrics() -> StreamMetrics:
    """Rates, load and backlog now."""
    overview = current_panel().overview(shown=0)
    snapshot = overview.snapshot
    return make_record(
        StreamMetrics,
        snapshot.rates,
        snapshot,
        overview.service,
        overview,
        backlog=overview.activity.waiting,
        catch_up_s=overview.activity.catch_up_s,
        service_running=overview.service.running,
        queue_stats=snapshot.states,
        processing_rate_per_hour=snapshot.rates.groups_per_hour,
    )


@streaming.command("/streaming/pause", CommandOutcome)
def pause() -> CommandOutcome:
    """Start no further stage; running stages finish."""
    return run_command("pause")


@streaming.command("/streaming/resume", CommandOutcome)
def resume() -> CommandOutcome:
    """Start stages again."""
    return run_command("resume")


@streaming.command("/streaming/start", CommandOutcome, body=StreamingConfig, optional_body=True)
def start(body: OptionalChanges) -> CommandOutcome:
    """Start the service, after saving the keys of the body; refused while it runs."""
    return run_command("start", body.root)


@streaming.command("/streaming/stop", CommandOutcome)
def stop() -> CommandOutcome:
    """Stop the service after the running stages; refused while it does not run."""
    return run_command("stop")


@streaming.command("/streaming/restart", CommandOutcome, body=StreamingConfig, optional_body=True)
def restart(body: OptionalChanges) -> CommandOutcome:
    """Stop the service and start it again, after saving the keys of the body."""
    return run_command("restart", body.root)
