"""`/api/status` and `/api/streaming`: the stream's condition, its service, rates, and commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from contimg.formats.records import GroupId, about, make_record
from contimg.instrument.dsa110 import BAND
from contimg.settings import StreamingConfig
from contimg.store import AttentionItem, DiskPause, Rates, State, Status, Store
from contimg.store.activity.status import PendingAge, StageCounts, StateCounts
from web.configuration.api import OptionalChanges
from web.context import StreamOverview, current_panel
from web.http.api import NOT_FOUND, Api
from web.http.bodies import ForceRequest
from web.http.parameters import Limit, Listing
from web.streaming.attention import act
from web.streaming.commands import run_command
from web.streaming.condition import Condition
from workers.scheduling.calibrator_tiles import CalibratorTiles
from workers.service.records import CommandOutcome, CpuPercent, MemoryMB, ServiceHealth, ServiceStatus, Uptime

streaming = Api("streaming_api", "/api")


ScanAge = Annotated[float | None, about("Time since the incoming directory was last scanned; null for never", "s", 2.1)]


@dataclass(frozen=True, kw_only=True)
class RecentGroup:
    """A group: its state, the times of its first file and of its last change, and its subband files.

    `has_calibrator`: a calibrator is in the beam, by the time of the group and the declination of the newest
    Measurement Set.
    """

    group_id: GroupId
    state: Annotated[State, about("State of its job", example="completed")]
    received_at: Annotated[float, about("When its first file arrived")]
    last_update: Annotated[float, about("When it last changed")]
    subbands_present: Annotated[int, about("Subbands with a usable file", "subbands", 16)]
    expected_subbands: Annotated[int, about("Subbands of a complete group", "subbands", 16)]
    has_calibrator: Annotated[
        bool,
        about("Whether a calibrator is in the beam, at the declination of the newest Measurement Set", example=True),
    ]


@dataclass(frozen=True)
class SetSummary:
    """A caltable set: the paths of its tables, how many of them are in force, and how many there are."""

    set_name: Annotated[str, about("Name of the caltable set", example="2026-02-22T01:35:20")]
    tables: Annotated[
        tuple[str, ...],
        about(
            "Paths of its caltables", example=["/data/products/caltables/2026-02-22T01:35:20/2026-02-22T01:35:20.bcal"]
        ),
    ]
    active: Annotated[int, about("Caltables in force", "caltables", 2)]
    total: Annotated[int, about("Caltables of the set", "caltables", 2)]


@dataclass(frozen=True, kw_only=True)
class StreamStatus(Status):
    """The stream at one time, from one consistent read of the store.

    `queue`: groups in each state, and their `total` without discarded ones.
    """

    condition: Annotated[Condition, about("Condition of the stream and its reason")]
    service: Annotated[ServiceStatus, about("The service's process")]
    disk_pause: Annotated[DiskPause | None, about("The full disk that pauses the stream; null while none does")]
    scan_age_s: ScanAge
    queue: Annotated[
        Mapping[str, int],
        about(
            "Groups in each state, and their `total` without discarded ones",
            "groups",
            {"collecting": 1, "pending": 2, "in_progress": 2, "completed": 288, "failed": 1, "total": 294},
        ),
    ]
    recent_groups: Annotated[tuple[RecentGroup, ...], about("The latest observed groups")]
    calibration_sets: Annotated[tuple[SetSummary, ...], about("The latest observed caltable sets")]


@dataclass(frozen=True, kw_only=True)
class StreamMetrics(Rates):
    """Rates of the last hour, load and backlog.

    `latency_s`: median time from a group's first file to its image, s. `image_after_s`, `image_after_p95_s`: median
    and 95th percentile of the time from its last file, s. `real_time_factor`: seconds of sky per second of processing.
    `backlog`: groups that are ready and not done. `catch_up_s`: time until they are done, s; null while their number
    does not fall. `cpu_percent`: 100 is one core.
    """

    at: Annotated[float, about("Time of these numbers")]
    cpu_percent: CpuPercent
    memory_mb: MemoryMB
    states: StateCounts
    waiting: StageCounts
    oldest_pending_s: PendingAge
    backlog: Annotated[int, about("Groups that are ready and not done", "groups", 3)]
    catch_up_s: Annotated[
        float | None, about("Time until the backlog is done; null while it does not fall", "s", 900.0)
    ]
    scan_age_s: ScanAge
    set_aside_count: Annotated[int, about("Quarantined files", "files", 2)]
    service_running: Annotated[bool, about("Whether the stream runs", example=True)]
    uptime_seconds: Uptime
    queue_stats: StateCounts
    processing_rate_per_hour: Annotated[
        float, about("Groups completed in the last hour, as `groups_per_hour`", "1/h", 11.0)
    ]


@dataclass(frozen=True)
class AttentionList:
    """What needs attention: the reasons of failed groups and quarantined files."""

    items: Annotated[tuple[AttentionItem, ...], about("The reasons")]


class ReasonPath(BaseModel):
    """A reason in a path."""

    key: Annotated[str, Field(min_length=1, max_length=40), about("Key of the reason", example="3f2a9c81d0e4")]


class StatusQuery(Listing):
    """Maximum number of entries in each list of the status."""

    limit: Limit = Field(5, ge=1, le=200)


def make_status(overview: StreamOverview, store: Store, config: StreamingConfig | None, limit: int) -> StreamStatus:
    """Return the status of the stream, as the API and `contimg status --json` give it.

    Parameters
    ----------
    overview : of the stream.
    store : its store.
    config : the configuration in force; None while it is not valid.
    limit : number of entries in each list.
    """
    groups = store.files.groups(None, limit)
    has_calibrator = CalibratorTiles.of(store).have_calibrator([group.reference_s for group in groups])
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
            for caltable_set in store.registry.sets(limit)
        ),
    )  # fmt: skip


@streaming.read("/status", StreamStatus)
def read(query: StatusQuery) -> StreamStatus:
    """Condition, service, queue, rates, newest groups, products, caltable sets and warnings; `?limit=`.

    The answer is one consistent read of the store, at most a second old. `limit` is the number of entries in each
    list.
    """
    panel = current_panel()
    return make_status(panel.overview(query.limit), panel.store, panel.valid_config(), query.limit)


@streaming.read("/streaming/status", ServiceStatus)
def read_status() -> ServiceStatus:
    """The service's process, its load, and the configuration in force.

    `running` is true while the stream's processes run; `paused` is true while they start no stage.
    """
    return current_panel().service.status()


@streaming.read("/streaming/health", ServiceHealth)
def read_health() -> ServiceHealth:
    """Healthy while the incoming directory is scanned and work advances, or the stream is paused.

    It is not healthy when the incoming directory was not scanned for six poll intervals (at least 30 s), when work
    waits and none advances, and when the stream is stopped; `error` has the reason. The panel's own health is at
    /api/health.
    """
    overview = current_panel().overview(shown=0)
    condition = overview.condition
    error = None if condition.healthy else f"{condition.state}: {condition.reason}"
    return make_record(ServiceHealth, condition, overview.service, error=error)


@streaming.read("/streaming/metrics", StreamMetrics)
def read_metrics() -> StreamMetrics:
    """Rates, load and backlog now.

    Rates are those of the last hour; those of which nothing is known yet are null. `/metrics` has the same numbers
    for Prometheus.
    """
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
    """Start no further stage; running stages finish.

    The service keeps scanning for files and forming groups. Repeating the command changes nothing.
    """
    return run_command("pause")


@streaming.command("/streaming/resume", CommandOutcome)
def resume() -> CommandOutcome:
    """Start stages again.

    Stages that wait are started at once. Repeating the command changes nothing.
    """
    return run_command("resume")


@streaming.command("/streaming/start", CommandOutcome, body=StreamingConfig, optional_body=True)
def start(body: OptionalChanges) -> CommandOutcome:
    """Start the service, after saving the keys of the body; refused while it runs.

    The body, which may be left out, holds keys of the configuration. With a wrong key or value nothing is saved or
    started (400). A stream that runs answers `success: false` with its pid, or 409 when there is a body that would
    be ignored.
    """
    return run_command("start", body.root)


@streaming.command("/streaming/stop", CommandOutcome)
def stop() -> CommandOutcome:
    """Stop the service after the running stages; refused while it does not run.

    Running stages are finished first. A stream that is stopped answers `success: false`.
    """
    return run_command("stop")


@streaming.command("/streaming/restart", CommandOutcome, body=StreamingConfig, optional_body=True)
def restart(body: OptionalChanges) -> CommandOutcome:
    """Stop the service and start it again, after saving the keys of the body.

    The body, which may be left out, holds keys of the configuration. With a wrong key or value nothing is saved,
    and the stream runs on (400).
    """
    return run_command("restart", body.root)


@streaming.read("/attention", AttentionList)
def read_attention() -> AttentionList:
    """Failed groups and quarantined files by reason, those not acknowledged first.

    Equal reasons are one entry, with its groups or files and what to do about it.
    """
    return AttentionList(current_panel().store.attention.items())


@streaming.command("/attention/<key>/retry", CommandOutcome, NOT_FOUND, ForceRequest)
def retry_reason(path: ReasonPath, body: ForceRequest) -> CommandOutcome:
    """Retry the groups of a reason; have its files examined again. Groups with too few subbands need `force`.

    All groups or files of the reason are retried; one that meanwhile succeeded is left as it is.
    """
    return act(path.key, "retry", force=body.force)


@streaming.command("/attention/<key>/discard", CommandOutcome, NOT_FOUND)
def discard_reason(path: ReasonPath) -> CommandOutcome:
    """Discard the groups or the quarantined files of a reason; every file stays on disk.

    Discarded groups can be retried later. The name of the user is recorded.
    """
    return act(path.key, "discard")


@streaming.command("/attention/<key>/acknowledge", CommandOutcome, NOT_FOUND)
def acknowledge_reason(path: ReasonPath) -> CommandOutcome:
    """Record who attends to a reason, until another group or file has it.

    The name of the user and the time are recorded. The entry stays in the list, after those not acknowledged.
    """
    return act(path.key, "acknowledge")
