"""What is recorded over time: events, one line each for operators, and metrics for charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from sqlalchemy import Integer, cast, func, literal, select
from sqlalchemy.orm import Session

from contimg.common.errors import mask_secrets
from contimg.formats.records import NO_UNIT, about
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.database import History, add_at_commit
from contimg.store.jobs.kinds import LIVE

HOUR_S = 3600.0


@dataclass(frozen=True)
class EventRecord:
    """A row of events; `at` is epoch seconds, `rule` the rule of alerts that it belongs to, or None."""

    id: Annotated[int, about("Number of the event, which grows", NO_UNIT, 2048)]
    at: Annotated[float, about("When it happened")]
    level: Annotated[str, about("info, warning or error", example="info")]
    group: Annotated[
        str | None, about("Id of the group that it concerns; null for the whole stream", example="2026-02-22T03:04:05")
    ]
    text: Annotated[str, about("One line for operators", example="complete: 16 subbands")]
    rule: Annotated[str | None, about("Rule of alerts that it belongs to; null for none", example="stall")] = None
    author: Annotated[str | None, about("Who caused it; null for the pipeline", example="ana")] = None


def record_event(
    session: Session, at: float, level: str, group: str | None, text: str, rule: str | None = None,
    author: str | None = None, processing: str = LIVE,
) -> None:  # fmt: skip
    """Add an event in the caller's transaction, so that it is stored only with the change that it reports.

    Parameters
    ----------
    session : of the transaction that makes the change.
    at : time of the event, epoch seconds.
    level : INFO, WARNING or ERROR.
    group : key of the job that the event concerns; None for the stream as a whole.
    text : one line for operators.
    rule : name of the rule of alerts that the event belongs to.
    author : who caused it; None for the pipeline.
    processing : of the job; the event of a campaign names it, and is for information: it raises no alert.
    """
    if processing != LIVE:
        level, text, rule = INFO, f"campaign {processing}: {text}", None
    row = tables.Event(at=at, level=level, group_id=group, text=mask_secrets(text), rule=rule, author=author)
    add_at_commit(session, row)


class Events(History):
    """The event log."""

    _table = tables.Event

    def add(
        self, text: str, *, level: str = INFO, group: str | None = None, rule: str | None = None,
        author: str | None = None, processing: str = LIVE,
    ) -> None:  # fmt: skip
        """Record one event now.

        Parameters
        ----------
        text : one line for operators.
        level : INFO, WARNING or ERROR.
        group : key of the job that the event concerns; None for the stream as a whole.
        rule : name of the rule of alerts that the event belongs to.
        author : who caused it; None for the pipeline.
        processing : of the job; see `record_event`.
        """
        with self._database.write() as session:
            record_event(session, self._database.clock(), level, group, text, rule, author, processing)

    def after(self, event_id: int, limit: int = 500) -> tuple[EventRecord, ...]:
        """Return the events newer than an id, oldest first.

        Parameters
        ----------
        event_id : id of the last event that the caller has; 0 to read from the beginning.
        limit : largest number of events.
        """
        event = tables.Event
        return self._fetch(EventRecord, select(event).where(event.id > event_id).order_by(event.id).limit(limit))

    def last(
        self, limit: int = 50, *, group: str | None = None, level: str | None = None, before: int | None = None
    ) -> tuple[EventRecord, ...]:
        """Return the newest events, newest first.

        Parameters
        ----------
        limit : largest number of events.
        group, level : only events of this job key, of this level; None for any.
        before : only events older than this id; the id of a page's last event gives the next page.
        """
        event = tables.Event
        query = select(event).order_by(event.id.desc()).limit(limit)
        if group is not None:
            query = query.where(event.group_id == group)
        if level is not None:
            query = query.where(event.level == level)
        if before is not None:
            query = query.where(event.id < before)
        return self._fetch(EventRecord, query)


def record_metrics(
    session: Session, at: float, values: Mapping[str, float | None], group: str | None = None, processing: str = LIVE
) -> None:
    """Add numbers in the caller's transaction.

    Parameters
    ----------
    session : of the transaction that they belong to.
    at : time of the numbers, epoch seconds.
    values : value by name, in the unit that the name ends with; None values are left out.
    group : key of the job that they concern, or None.
    processing : of the job; the charts are of the live stream, so that nothing is added for a campaign.
    """
    if processing != LIVE:
        return
    session.add_all(
        tables.Metric(at=at, name=name, value=float(value), group_id=group)
        for name, value in values.items()
        if value is not None
    )


@dataclass(frozen=True)
class Bucket:
    """The values of a step of time."""

    at: Annotated[float, about("Middle of the step")]
    mean: Annotated[float, about("Mean of the values", "unit of the chart", 31.0)]
    minimum: Annotated[float, about("Smallest value", "unit of the chart", 29.5)]
    maximum: Annotated[float, about("Largest value", "unit of the chart", 40.2)]


class Metrics(History):
    """The history of metrics."""

    _table = tables.Metric

    def add(self, values: Mapping[str, float | None], *, group: str | None = None) -> None:
        """Record numbers now, for example {"disk.free_bytes": 1e12}.

        Parameters
        ----------
        values : value by name, in the unit that the name ends with; None values are left out.
        group : key of the job that they concern, or None.
        """
        with self._database.write() as session:
            record_metrics(session, self._database.clock(), values, group)

    def series(self, name: str, since: float, until: float, points: int = 300) -> tuple[Bucket, ...]:
        """Return the values of one name over a span of time, averaged in steps of equal length.

        Parameters
        ----------
        name : of the metric.
        since, until : the span, epoch seconds; `until` is excluded.
        points : number of steps.

        Returns
        -------
        the steps in order of time; those without a value are left out.
        """
        metric, width = tables.Metric, (until - since) / points
        step = select(literal(0).label("n")).cte("step", recursive=True)
        step = step.union_all(select(step.c.n + 1).where(step.c.n + 1 < points))

        # Each step is a stretch of the index; grouping by step would sort every value first, and take twice as long.
        def over_step(aggregate: Any) -> Any:
            within = (metric.at >= since + step.c.n * width, metric.at < since + (step.c.n + 1) * width)
            return select(aggregate(metric.value)).where(metric.name == name, *within).scalar_subquery()

        aggregates = (func.count, func.avg, func.min, func.max)
        query = select(step.c.n, *map(over_step, aggregates)).order_by(step.c.n)
        with self._database.read() as session:
            steps = {n: values for n, *values in session.execute(query) if values[0]}
            for n, *values in session.execute(_hours_by_step(name, since, until, width)):
                steps[n] = _merge(steps[n], values) if n in steps else values
        return tuple(Bucket(since + (n + 0.5) * width, *values[1:]) for n, values in sorted(steps.items()))


def _hours_by_step(name: str, since: float, until: float, width: float) -> Any:
    """Steps of the hours that stand for samples of earlier times: number, samples, mean, minimum, maximum."""
    hour = tables.MetricHour
    middle = hour.at + 0.5 * HOUR_S
    step = cast(func.floor((middle - since) / width), Integer).label("step")
    within = (hour.at >= since - 0.5 * HOUR_S, hour.at < until - 0.5 * HOUR_S)
    mean = func.sum(hour.mean * hour.samples) / func.sum(hour.samples)
    samples = cast(func.sum(hour.samples), Integer)
    return (
        select(step, samples, mean, func.min(hour.minimum), func.max(hour.maximum))
        .where(hour.name == name, *within)
        .group_by(step)
    )


def _merge(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """Samples, mean, minimum and maximum of two sets of samples."""
    samples = first[0] + second[0]
    mean = (first[0] * first[1] + second[0] * second[1]) / samples
    return [samples, mean, min(first[2], second[2]), max(first[3], second[3])]
