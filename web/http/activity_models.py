"""What the API answers of the house itself: charts, alerts, workers, logs, events; forms as in `web.http.models`."""

from collections.abc import Mapping
from datetime import datetime

from web.http.models import Answer, EventAnswer


class ChartLine(Answer):
    """One line of a chart: for each step its middle (epoch seconds), mean, least and greatest value."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


class ChartAnswer(Answer):
    """A chart's lines, which share a unit."""

    name: str
    title: str
    unit: str
    lines: tuple[ChartLine, ...]


class AlertAnswer(Answer):
    """A rule that is broken, or was until `ended_at`."""

    id: int
    rule: str
    level: str
    text: str
    began_at: datetime
    ended_at: datetime | None


class AlertRuleAnswer(Answer):
    """A rule, the setting that holds its limit, and whether it is switched off."""

    name: str
    level: str
    about: str
    setting: str
    off: bool


class AlertsAnswer(Answer):
    """Every rule, the alerts that hold, and those that were, the newest first."""

    rules: tuple[AlertRuleAnswer, ...]
    on: tuple[AlertAnswer, ...]
    alerts: tuple[AlertAnswer, ...]
    next_before: int | None


class WorkerAnswer(Answer):
    """A Celery worker: its queues, its processes and how many of them are busy, stages done since its start."""

    name: str
    queues: tuple[str, ...]
    processes: int
    busy: int
    done: int
    uptime_s: float | None


class WorkersAnswer(Answer):
    """What Celery last said; `at` None before it said anything. `waiting`: messages in each queue."""

    at: datetime | None
    workers: tuple[WorkerAnswer, ...]
    waiting: Mapping[str, int]
    unserved: tuple[str, ...]
    error: str | None


class LogLine(Answer):
    """One line of a process' log; `at` None when the line does not say."""

    process: str
    at: str | None
    level: str
    logger: str
    message: str
    group: str | None = None
    stage: str | None = None
    task: str | None = None
    host: str | None = None


class LogsAnswer(Answer):
    """Log lines, the newest first, and the processes that have a log."""

    lines: tuple[LogLine, ...]
    processes: tuple[str, ...]


class EventsAnswer(Answer):
    """Events, the newest first; `next_before` is the `before` of the next page."""

    events: tuple[EventAnswer, ...]
    next_before: int | None
