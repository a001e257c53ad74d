"""`/api/events`, `/api/alerts`, `/api/workers`, `/api/history`, `/healthz` and `/metrics`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from contimg.formats.records import NO_UNIT, Page, about, to_json
from contimg.settings.alerts import AlertRule
from contimg.store import AlertRecord, Bucket, EventRecord, SilenceRecord
from web.activity.alerts import acknowledge_alert, add_maintenance, end_silence, silence_alert
from web.activity.history import CHARTS, disks, read_line
from web.activity.prometheus import Collector, ImageSummary
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.http.bodies import AcknowledgeRequest, MaintenanceRequest, SilenceRequest
from web.http.errors import RequestError
from web.http.parameters import MAX_ID, AlertListing, EventListing, NumberedListing, TimeSpan
from workers.inspection import Worker

RECONNECT_MS = 2000
events = Api("events", "/api/events")
alerts = Api("alerts_api", "/api/alerts")
maintenance = Api("maintenance_api", "/api/maintenance")
workers = Api("workers_api", "/api/workers")
history = Api("history_api", "/api/history")
panel_health = Api("panel_health", "/api/health")
health = Blueprint("health", __name__)


@dataclass(frozen=True)
class PanelHealth:
    """The state of the panel: "ok" when it and the store answer; otherwise the answer is an error."""

    status: Annotated[str, about("`ok` when panel and store answer; otherwise the answer is an error", example="ok")]


@dataclass(frozen=True, kw_only=True)
class EventList(Page):
    """Events, the newest first."""

    events: Annotated[tuple[EventRecord, ...], about("Events, the newest first")]
    next_before: Annotated[
        int | None, about("As `next`, for earlier clients: the `before` of the next page", NO_UNIT, 2048)
    ]


@dataclass(frozen=True, kw_only=True)
class AlertList(Page):
    """Every rule, the alerts that hold, and all alerts, the newest first."""

    rules: Annotated[tuple[AlertRule, ...], about("Every rule with its limit")]
    on: Annotated[tuple[AlertRecord, ...], about("Alerts of rules that are broken now")]
    alerts: Annotated[tuple[AlertRecord, ...], about("All alerts, the newest first")]
    next_before: Annotated[
        int | None, about("As `next`, for earlier clients: the `before` of the next page", NO_UNIT, 17)
    ]


@dataclass(frozen=True, kw_only=True)
class SilenceList(Page):
    """Silences of rules and maintenance windows."""

    current: Annotated[tuple[SilenceRecord, ...], about("Those that have not ended, the first to begin at the front")]
    silences: Annotated[tuple[SilenceRecord, ...], about("All, the newest first")]


class AlertPath(BaseModel):
    """An alert, a silence or a maintenance window in a path."""

    id: int = Field(ge=0, le=MAX_ID, description="Its number [no unit]", examples=[17])


@dataclass(frozen=True)
class WorkerList:
    """The newest answer of the Celery workers; `at` is null before the first. `waiting`: messages in each queue."""

    at: Annotated[float | None, about("When the workers replied; null before the first reply")]
    workers: Annotated[tuple[Worker, ...], about("Workers that replied")]
    waiting: Annotated[
        Mapping[str, int], about("Messages in each queue", "messages", {"convert": 1, "calibrate": 0, "image": 2})
    ]
    error: Annotated[
        str | None,
        about(
            "Why the broker did not answer; null when it did", example="redis://127.0.0.1:6379/0: connection refused"
        ),
    ]
    unserved: Annotated[tuple[str, ...], about("Queues without a worker", example=["image"])]


@dataclass(frozen=True)
class ChartLine:
    """A line of a chart: for each step its middle (epoch seconds), and the mean, minimum and maximum value."""

    name: Annotated[str, about("What the line shows", example="median")]
    steps: Annotated[tuple[Bucket, ...], about("Steps that have values, in order of time")]
    points: Annotated[
        tuple[tuple[float, float, float, float], ...],
        about(
            "As `steps`, for earlier clients: middle (seconds since 1970), mean, minimum, maximum",
            "s, then the chart's unit",
            [[1771729445.0, 31.0, 29.5, 40.2]],
        ),
    ]


@dataclass(frozen=True)
class ChartData:
    """The lines of a chart, which share a unit."""

    name: Annotated[str, about("Name of the chart", example="stages")]
    title: Annotated[str, about("Title", example="Duration of stages")]
    unit: Annotated[str, about("Unit of the values", example="s")]
    lines: Annotated[tuple[ChartLine, ...], about("The lines of the chart")]


@dataclass(frozen=True)
class AlertMarks:
    """Alerts that were active within the span of a chart."""

    alerts: Annotated[tuple[AlertRecord, ...], about("Alerts, the newest first")]


class ChartPath(BaseModel):
    """A chart in a path."""

    name: Annotated[str, about("Name of the chart", example="stages")] = Field(min_length=1)


@events.read("", "text/event-stream")
def follow() -> Response:
    """Events after `Last-Event-ID`, or after `?after=`, or from now on; the connection ends after ten minutes.

    Server-sent events: each has the id of the event and the event as JSON. A client that connects again sends the
    last id, and misses none. At most 50 clients are served at a time (503).
    """
    live, after = current_panel().live, _first_event_id()
    if not live.add_viewer():
        raise RequestError(
            503, f"{live.capacity} viewers are connected (limit)", "try again later, or poll /api/status"
        )
    is_gone = cast(Callable[[], bool], request.environ.get("waitress.client_disconnected", lambda: False))
    response = Response(
        _lines(live.follow(after, is_gone)),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.call_on_close(live.remove_viewer)
    return response


@events.read("/list", EventList)
def listed(query: EventListing) -> EventList:
    """Events, the newest first.

    Events are kept for CONTIMG_KEEP_EVENTS_DAYS days.
    """
    events, (level, group) = current_panel().store.events, (query.level, query.group)
    records = events.last(query.limit + 1, level=level, group=group, before=query.key)
    total, last = events.count(level=level, group_id=group), _last_of_page(records, query.limit)
    return EventList(
        events=records[: query.limit], total=total, next=None if last is None else str(last), next_before=last
    )


@alerts.read("", AlertList)
def read_alerts(query: AlertListing) -> AlertList:
    """The rules, the alerts that hold, and all alerts, the newest first.

    An alert lasts from the time at which its rule is broken to the time at which it is met again.
    """
    panel = current_panel()
    rules, alerts = panel.alert_rules(), panel.store.alerts
    records = alerts.last(query.limit + 1, before=query.key)
    last = _last_of_page(records, query.limit)
    return AlertList(
        rules=rules, on=alerts.active(), alerts=records[: query.limit], total=alerts.count(),
        next=None if last is None else str(last), next_before=last,
    )  # fmt: skip


@alerts.command("/<int:id>/acknowledge", AlertRecord, NOT_FOUND, AcknowledgeRequest)
def acknowledge(path: AlertPath, body: AcknowledgeRequest) -> AlertRecord:
    """Acknowledge an active alert: somebody attends to it. It stays active until its rule is met.

    The name of the operator and the time are recorded. An alert that has ended is refused (409).
    """
    return acknowledge_alert(path.id, body.note)


@alerts.command("/<int:id>/silence", SilenceRecord, NOT_FOUND, SilenceRequest)
def silence(path: AlertPath, body: SilenceRequest) -> SilenceRecord:
    """Send no notification of the rule of an alert until a time. Its alerts are recorded and shown all the same.

    The end is a time (UTC) or a duration such as 8h. The name of the operator is recorded.
    """
    return silence_alert(path.id, body.until, body.reason)


@maintenance.read("", SilenceList)
def read_maintenance(query: NumberedListing) -> SilenceList:
    """Maintenance windows and silences: those that have not ended, and all, the newest first.

    A silence concerns one rule, a maintenance window all of them.
    """
    silences = current_panel().store.silences
    records = silences.last(query.limit + 1, before=query.cursor)
    last = _last_of_page(records, query.limit)
    return SilenceList(
        current=silences.current_and_planned(), silences=records[: query.limit], total=silences.count(),
        next=None if last is None else str(last),
    )  # fmt: skip


@maintenance.command("", SilenceRecord, body=MaintenanceRequest)
def plan_maintenance(body: MaintenanceRequest) -> SilenceRecord:
    """Add a maintenance window: no notification is sent in it. Alerts are recorded and shown all the same.

    Beginning and end are times (UTC) or durations from now such as 8h.
    """
    return add_maintenance(body.until, body.reason, body.since)


@maintenance.command("/<int:id>/end", SilenceRecord)
def end_maintenance(path: AlertPath) -> SilenceRecord:
    """End a maintenance window or a silence now.

    One that has ended already stays as it is.
    """
    return end_silence(path.id)


@workers.read("", WorkerList)
def read_workers() -> WorkerList:
    """The newest answer of the workers, at most some seconds old while it is read; the broker is not waited for.

    A queue in `unserved` has no worker: its stages wait.
    """
    inspection = current_panel().inspector.latest()
    if inspection is None:
        return WorkerList(None, (), {}, None, ())
    return WorkerList(**vars(inspection), unserved=inspection.unserved)


@history.read("/alerts", AlertMarks)
def read_alert_marks(query: TimeSpan) -> AlertMarks:
    """The alerts that were active between two times, the newest first.

    At most 500, as marks beside the charts; /api/alerts lists all.
    """
    return AlertMarks(current_panel().store.alerts.between(*query.limits_s))


@history.read("/<name>", ChartData, NOT_FOUND)
def read_chart(path: ChartPath, query: TimeSpan) -> ChartData:
    """A chart's series between two times.

    Values are averaged in `points` steps of equal length; steps without a value are left out.
    """
    chart = next((chart for chart in CHARTS if chart.name == path.name), None)
    if chart is None:
        names = ", ".join(chart.name for chart in CHARTS)
        raise RequestError(404, f"{path.name[:40]}: no such chart", f"the charts are {names}")
    lines = []
    for line in chart.lines:
        steps = read_line(current_panel().store, line, *query.limits_s, query.points)
        points = tuple((step.at, step.mean, step.minimum, step.maximum) for step in steps)
        lines.append(ChartLine(line.label, steps, points))
    return ChartData(chart.name, chart.title, chart.unit, tuple(lines))


@panel_health.read("", PanelHealth)
def read_health() -> PanelHealth:
    """Whether panel and store answer; the stream's health is at /api/streaming/health.

    200 with `ok` when both answer, 503 otherwise. The stream's health is at /api/streaming/health.
    """
    healthz()
    return PanelHealth("ok")


@health.get("/healthz")
def healthz() -> Response:
    """Whether panel and store answer; the stream's health is at /api/streaming/health."""
    current_panel().store.jobs.paused  # noqa: B018 (a query; an exception is answered with 503)
    return Response("ok\n", mimetype="text/plain")


@health.get("/metrics")
def metrics() -> Response:
    """The numbers of the overview, and the stages that have ended since the panel began, for Prometheus."""
    panel, registry = current_panel(), CollectorRegistry()
    panel.ended.update(panel.store)
    disk_usages = disks(panel.valid_config())
    images = panel.shared("images", lambda: ImageSummary.read(panel.store))
    registry.register(Collector(panel.overview(), panel.live.viewers, disk_usages, panel.alert_rules(), images))
    text = generate_latest(registry) + generate_latest(panel.ended.registry)
    return Response(text, content_type=CONTENT_TYPE_LATEST)


def _last_of_page(records: Sequence[EventRecord | AlertRecord | SilenceRecord], limit: int) -> int | None:
    """The id after which the next page begins; None when these records, one more than the limit, are all."""
    return records[limit - 1].id if len(records) > limit else None


def _first_event_id() -> int:
    text = request.headers.get("Last-Event-ID") or request.args.get("after")
    if text is None:
        last = current_panel().store.events.last(1)
        return last[0].id if last else 0
    if not text.isascii() or not text.isdigit() or int(text) > MAX_ID:
        raise RequestError(
            400, f"after: {text[:20]!r} is not the id of an event", "give the id of the last one you have"
        )
    return int(text)


def _lines(followed: Iterator[EventRecord | None]) -> Iterator[str]:
    yield f"retry: {RECONNECT_MS}\n\n"
    for event in followed:
        yield ": quiet\n\n" if event is None else f"id: {event.id}\ndata: {to_json(event)}\n\n"
