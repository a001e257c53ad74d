"""Records are pruned by rule, in batches, on both databases; charts go on with the hourly means."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from store_play import Clock

from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.settings import RetentionRules
from contimg.store import Store, tables
from contimg.store.activity import pruning

RULES = RetentionRules(keep_events_days=90, keep_notable_days=1000, keep_samples_days=90, keep_antennas_days=30)


def add(store: Store, table: Any, rows: list[dict[str, Any]]) -> None:
    with store.database.write() as session:
        session.execute(insert(table), rows)


def values(store: Store, column: Any) -> list[Any]:
    with store.database.read() as session:
        return list(session.scalars(select(column).order_by(column)))


def add_events(store: Store, now: float) -> None:
    events = [
        ("old of a tile", 100, "info", "2026-02-22T03:04:05"), ("old warning", 100, "warning", "2026-02-22T03:04:05"),
        ("old action", 100, "info", None), ("oldest action", 1001, "info", None),
        ("new of a tile", 10, "info", "2026-02-22T03:04:05"),
    ]  # fmt: skip
    rows = [{"at": now - days * DAY_S, "level": level, "group_id": group, "text": text}
            for text, days, level, group in events]  # fmt: skip
    add(store, tables.Event, rows)


def add_samples(store: Store, begin: float, hours: int) -> list[float]:
    """Samples every 300 s of a value that grows by one each hour."""
    samples = [float(n // 12) + 0.01 * (n % 12) for n in range(12 * hours)]
    rows = [{"at": begin + 300.0 * n, "name": "cpu", "value": value} for n, value in enumerate(samples)]
    add(store, tables.Metric, rows)
    return samples


def test_rules_choose_which_events_go(store: Store, clock: Clock) -> None:
    add_events(store, clock.now)
    pruned = {part.records: part.rows for part in store.pruning.prune(RULES)}
    assert values(store, tables.Event.text) == ["new of a tile", "old action", "old warning"]
    assert (pruned["events of tiles and epochs"], pruned["warnings, errors, events of no tile or epoch"]) == (1, 1)


def test_dry_run_counts_what_a_run_deletes(store: Store, clock: Clock) -> None:
    add_events(store, clock.now)
    add_samples(store, (clock.now - 92 * DAY_S) // 3600 * 3600, 10)
    counted = store.pruning.prune(RULES, dry_run=True)
    assert len(values(store, tables.Event.id)) == 5
    assert store.pruning.prune(RULES) == counted
    assert sum(part.rows for part in counted) == 2 + 120
    assert sum(part.rows for part in store.pruning.prune(RULES)) == 0


def test_events_are_kept_at_any_age_with_zero_days(store: Store, clock: Clock) -> None:
    add_events(store, clock.now)
    add_samples(store, clock.now - 92 * DAY_S, 10)
    assert store.pruning.prune(RetentionRules(keep_events_days=0)) == ()
    assert (len(values(store, tables.Event.id)), len(values(store, tables.Metric.id))) == (5, 120)


def test_deletion_in_batches_deletes_every_row_once(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 7)
    monkeypatch.setattr(pruning, "PAUSE_S", 0.0)
    old = [{"at": clock.now - 100 * DAY_S + n // 3, "level": "info" if n % 4 else "error", "group_id": "g", "text": "x"}
           for n in range(40)]  # fmt: skip
    add(store, tables.Event, old)
    store.events.add("newest")
    partly = store.pruning.prune(RULES, limit_s=0.0)
    assert (partly[0].rows, partly[0].is_complete) == (7, False)
    assert len(values(store, tables.Event.id)) == 34
    assert store.pruning.prune(RULES)[0].rows == 23
    assert values(store, tables.Event.level) == [*["error"] * 10, "info"]


def test_antennas_are_pruned_by_times_of_observation_and_processing(
    store: Store, clock: Clock, telescope: Any
) -> None:  # fmt: skip
    groups = [telescope.whole_group()]
    clock.advance(40 * DAY_S)
    groups.append(telescope.whole_group(1))
    earlier, now = (job for job in map(store.jobs.job, groups) if job)
    rows = [
        {"job_id": job.id, "processing": "live", "group_id": job.key, "mjd": unix_to_mjd(clock.now - days * DAY_S),
         "antenna": "7", "polarisation": "X", "state": "good", "flagged_fraction": 0.1}
        for job, days in ((earlier, 40), (earlier, 31), (earlier, 29), (now, 400))
    ]  # fmt: skip
    add(store, tables.AntennaHistory, rows)
    assert {part.records: part.rows for part in store.pruning.prune(RULES)}["numbers of antennas in tiles"] == 2
    assert len(values(store, tables.AntennaHistory.id)) == 2


def test_samples_become_hourly_means_with_extremes(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 30)
    begin = (clock.now - 91 * DAY_S) // 3600 * 3600
    add_samples(store, begin, 48)
    kept_since = (clock.now - 90 * DAY_S) // 3600 * 3600
    before = store.metrics.series("cpu", begin, begin + 48 * 3600, 12)
    assert store.pruning.prune(RULES)[-1].rows == (kept_since - begin) / 300
    assert min(values(store, tables.Metric.at)) == kept_since
    hours = values(store, tables.MetricHour.mean)
    assert hours == pytest.approx([number + 0.055 for number in range(len(hours))])
    assert values(store, tables.MetricHour.maximum) == pytest.approx([number + 0.11 for number in range(len(hours))])
    after = store.metrics.series("cpu", begin, begin + 48 * 3600, 12)
    assert [(step.at, step.minimum, step.maximum) for step in after] == [
        (step.at, step.minimum, step.maximum) for step in before
    ]
    assert [step.mean for step in after] == pytest.approx([step.mean for step in before])


def test_late_samples_join_the_mean_of_their_hour(store: Store, clock: Clock) -> None:
    begin = (clock.now - 100 * DAY_S) // 3600 * 3600
    add(store, tables.Metric, [{"at": begin + n, "name": "cpu", "value": 10.0} for n in range(3)])
    store.pruning.prune(RULES)
    add(store, tables.Metric, [{"at": begin + 60, "name": "cpu", "value": 30.0}])
    store.pruning.prune(RULES)
    with store.database.read() as session:
        (hour,) = session.scalars(select(tables.MetricHour)).all()
    assert (hour.at, hour.samples, hour.mean, hour.minimum, hour.maximum) == (begin, 4, 15.0, 10.0, 30.0)


def test_hourly_means_are_deleted_by_their_own_age(store: Store, clock: Clock) -> None:
    begin = (clock.now - 100 * DAY_S) // 3600 * 3600
    add_samples(store, begin, 2)
    add(store, tables.MetricHour, [{"at": begin - 500 * DAY_S, "name": "cpu", "samples": 1, "mean": 1.0, "minimum": 1.0,
                                    "maximum": 1.0}])  # fmt: skip
    store.pruning.prune(RULES.replace(keep_hours_days=400))
    assert values(store, tables.MetricHour.at) == [begin, begin + 3600]


def test_sizes_count_every_row(store: Store, clock: Clock) -> None:
    add_events(store, clock.now)
    add_samples(store, clock.now, 4)
    sizes = store.sizes.read()
    with store.database.read() as session:
        counted = {
            name: session.scalar(select(func.count()).select_from(table))
            for name, table in tables.Base.metadata.tables.items()
        }
    assert {table.name: table.rows for table in sizes.tables} == counted
    events = next(table for table in sizes.tables if table.name == "events")
    assert {"ix_events_at", "ix_events_level"} < {index.name for index in events.indexes}
    assert 0 < sum(table.total_bytes for table in sizes.tables) <= sizes.bytes
    assert (sizes.disk_free_bytes is None) == (store.database.engine.dialect.name == "postgresql")


def test_growth_is_that_since_the_recorded_sizes(store: Store, clock: Clock, open_store: Callable[..., Store]) -> None:
    assert store.sizes.last() is None
    store.sizes.record()
    clock.advance(2 * DAY_S)
    add_samples(store, clock.now, 100)
    sizes = store.sizes.record()
    metrics = next(table for table in sizes.tables if table.name == "metrics")
    assert (metrics.rows_per_day, sizes.bytes_per_day > 0) == (600, True)
    assert store.sizes.last().tables[0].indexes == sizes.tables[0].indexes
    assert store.sizes.last().bytes_per_day == sizes.bytes_per_day
    for _ in range(20):
        clock.advance(DAY_S)
        store.sizes.record()
    clock.advance(DAY_S)
    assert next(table for table in store.sizes.read().tables if table.name == "metrics").rows_per_day == 0


def test_vacuum_returns_space(store: Store, clock: Clock) -> None:
    add_samples(store, clock.now - 200 * DAY_S, 1000)
    store.pruning.prune(RULES)
    before = store.sizes.read()
    store.sizes.vacuum()
    after = store.sizes.read()
    assert after.bytes < before.bytes
    assert store.events.last(1) == ()
    if after.free_bytes is not None:
        assert before.free_bytes > 0 == after.free_bytes
