"""Records past their age: events, alerts and numbers of antennas are deleted, samples are replaced by hourly means.

The work is done in short transactions with pauses in between, so that no other writer waits for long. A process that is
killed in between has lost nothing: what is left is done by the next call.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from sqlalchemy import ColumnElement, case, delete, exists, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from contimg.formats.records import about
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.settings import RetentionRules
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.activity.events import HOUR_S
from contimg.store.database import Database, Repository, count

BATCH = 1000  # rows of a transaction: some tens of milliseconds
PAUSE_S = 0.05  # in which other writers get the lock


@dataclass(frozen=True)
class PrunedRecords:
    """Records of one kind that were pruned, or would be in a dry run."""

    records: Annotated[str, about("What was pruned", example="events of tiles and epochs")]
    kept_since: Annotated[float, about("Records from before this time are pruned")]
    rows: Annotated[int, about("Rows that were deleted", "rows", 2880)]
    is_complete: Annotated[bool, about("False when the time of the round was over before all were", example=True)]


@dataclass(frozen=True)
class _Rule:
    """Rows of a table that go: those whose `column` is below a time, and that meet the conditions."""

    records: str
    table: Any
    column: Any
    before: float
    conditions: tuple[ColumnElement[bool], ...] = ()
    limit: float | None = None  # of the column, where it is not in epoch seconds

    @property
    def criteria(self) -> tuple[ColumnElement[bool], ...]:
        return (self.column < (self.before if self.limit is None else self.limit), *self.conditions)


class Pruning(Repository):
    """Pruning of records by the rules of retention."""

    def prune(
        self, rules: RetentionRules, *, dry_run: bool = False, limit_s: float | None = None
    ) -> tuple[PrunedRecords, ...]:
        """Delete the records past their age, and replace old samples by their hourly means.

        Parameters
        ----------
        rules : ages, days.
        dry_run : whether to only count.
        limit_s : begin no transaction after this time, s; None to complete the work.

        Returns
        -------
        tuple of PrunedRecords
            One of each rule that is in force; empty when all records are kept.
        """
        if not rules.keep_events_days:
            return ()
        now, deadline_s = self._database.clock(), None if limit_s is None else time.monotonic() + limit_s
        pruned = []
        for rule in _rules(rules, now):
            rows, is_complete = self._count(rule), True
            if not dry_run:
                rows, is_complete = _run(_delete_batches(self._database, rule), deadline_s)
            pruned.append(PrunedRecords(rule.records, rule.before, rows, is_complete))
        if rules.keep_samples_days:
            before = (now - rules.keep_samples_days * DAY_S) // HOUR_S * HOUR_S
            metric = tables.Metric
            if dry_run:
                rows, is_complete = self._count(_Rule("", metric, metric.at, before)), True
            else:
                rows, is_complete = _run(_thin_batches(self._database, before), deadline_s)
            pruned.append(PrunedRecords("samples of charts, replaced by hourly means", before, rows, is_complete))
        return tuple(pruned)

    def _count(self, rule: _Rule) -> int:
        with self._database.read() as session:
            return count(session, rule.table, *rule.criteria)


def _rules(rules: RetentionRules, now: float) -> Iterator[_Rule]:
    """The rules of deletion that are in force."""
    event, alert, silence = tables.Event, tables.Alert, tables.Silence
    antenna, outage = tables.AntennaHistory, tables.AntennaOutage
    # SQLite gives the number of a deleted newest row again, and who reads "after the last id" would miss that event.
    is_not_newest = event.id < select(func.max(event.id)).scalar_subquery()
    before = now - rules.keep_events_days * DAY_S
    of_job = (event.level == INFO, event.group_id.is_not(None), event.author.is_(None), is_not_newest)
    yield _Rule("events of tiles and epochs", event, event.at, before, of_job)
    if rules.keep_antennas_days:
        before = now - rules.keep_antennas_days * DAY_S
        interference, job = tables.TileInterference, tables.Job
        # Old tiles that were processed again have new numbers.
        is_processed_before = tuple(
            exists().where(job.id == table.job_id, job.updated_at < before) for table in (antenna, interference)
        )
        yield _Rule(
            "numbers of antennas in tiles",
            antenna,
            antenna.mjd,
            before,
            is_processed_before[:1],
            limit=unix_to_mjd(before),
        )
        yield _Rule("interference in tiles", interference, interference.reference_s, before, is_processed_before[1:])
    if rules.keep_notable_days:
        before = now - rules.keep_notable_days * DAY_S
        yield _Rule("warnings, errors, events of no tile or epoch", event, event.at, before, (is_not_newest,))
        yield _Rule("ended alerts", alert, alert.ended_at, before)
        yield _Rule("silences", silence, silence.ends_at, before)
        yield _Rule("outages of antennas", outage, outage.ended_mjd, before, limit=unix_to_mjd(before))
    if rules.keep_hours_days:
        hour = tables.MetricHour
        yield _Rule("hourly means of samples", hour, hour.at, now - rules.keep_hours_days * DAY_S)


def _run(batches: Iterator[int], deadline_s: float | None) -> tuple[int, bool]:
    """Sum the rows of batches until a deadline on the monotonic clock; whether all were run."""
    rows = 0
    for number in batches:
        rows += number
        if deadline_s is not None and time.monotonic() >= deadline_s:
            return rows, False
        time.sleep(PAUSE_S)
    return rows, True


def _delete_batches(database: Database, rule: _Rule) -> Iterator[int]:
    """Delete the rows of a rule along the index of its column, a transaction at a time; yields the rows of each."""
    table, column = rule.table, rule.column
    key = table.__table__.primary_key.columns
    since = None
    while True:
        with database.read() as session:  # without the lock of writers: there may be many rows that stay
            # From where the last one ended: rows that stay are not passed again.
            query = select(column, *key).where(*rule.criteria).order_by(column).limit(BATCH)
            rows = session.execute(query if since is None else query.where(column >= since)).all()
        if not rows:
            return
        since = rows[-1][0]
        with database.write() as session:
            _delete_rows(session, table, [row[1:] for row in rows])
        yield len(rows)


def _delete_rows(session: Session, table: Any, keys: list[Any]) -> None:
    columns = list(table.__table__.primary_key.columns)
    if len(columns) == 1:
        session.execute(delete(table).where(columns[0].in_([key[0] for key in keys])))
        return
    for key in keys:  # of hourly means: few
        session.execute(delete(table).where(*(column == value for column, value in zip(columns, key, strict=True))))


def _thin_batches(database: Database, before: float) -> Iterator[int]:
    """Replace samples from before a full hour by hourly means, some hours of one name in each transaction."""
    name = ""
    while (name := _next_name(database, name) or "") != "":
        while number := _thin(database, name, before):
            yield number


def _next_name(database: Database, name: str) -> str | None:
    """The first name of a sample after a name, by the index."""
    metric = tables.Metric
    with database.read() as session:
        return session.scalar(select(func.min(metric.name)).where(metric.name > name))


def _thin(database: Database, name: str, before: float) -> int:
    """Replace the oldest samples of a name, at least an hour of them; the number of samples, 0 when all are younger."""
    metric, hour = tables.Metric, tables.MetricHour
    with database.write() as session:
        times = select(metric.at).where(metric.name == name, metric.at < before).order_by(metric.at)
        first = session.scalar(times.limit(1))
        if first is None:
            return 0
        last = session.scalar(times.offset(BATCH).limit(1))
        first_hour = first // HOUR_S * HOUR_S
        end = before if last is None else max(last // HOUR_S * HOUR_S, first_hour + HOUR_S)
        span = (metric.name == name, metric.at >= first, metric.at < end)
        start = (func.floor(metric.at / literal_column("3600.0")) * literal_column("3600.0")).label("start")
        value = metric.value
        hours = session.execute(
            select(start, func.count(), func.avg(value), func.min(value), func.max(value)).where(*span).group_by(start)
        ).all()
        rows = [
            {"name": name, "at": at, "samples": samples, "mean": mean, "minimum": minimum, "maximum": maximum}
            for at, samples, mean, minimum, maximum in hours
        ]
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        upsert: Any = (sqlite.insert if is_sqlite else postgresql.insert)(hour)
        late, total = upsert.excluded, hour.samples + upsert.excluded.samples
        merged = {  # samples that came when their hour had been replaced already
            "samples": total,
            "mean": (hour.mean * hour.samples + late.mean * late.samples) / total,
            "minimum": _extreme(late.minimum < hour.minimum, late.minimum, hour.minimum),
            "maximum": _extreme(late.maximum > hour.maximum, late.maximum, hour.maximum),
        }
        session.execute(upsert.on_conflict_do_update(index_elements=["name", "at"], set_=merged), rows)
        session.execute(delete(metric).where(*span).execution_options(synchronize_session=False))
        return sum(row["samples"] for row in rows)


def _extreme(is_new: ColumnElement[bool], new: Any, old: Any) -> Any:
    return case((is_new, new), else_=old)
