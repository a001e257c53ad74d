"""Alerts: one row from a beginning to an end, whoever says it how often; on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from contimg.store import tables


def test_alert_writes_one_event_at_begin_and_end(store, clock):
    changes = [store.alerts.update("stall", trouble, level="error", end_text="on again")
            for trouble in (None, "nothing moves for 600 s", "nothing moves for 610 s", None, None)]  # fmt: skip
    assert changes == [False, True, False, True, False]
    assert [(event.level, event.text) for event in store.events.last()] == [
        ("info", "on again"), ("error", "nothing moves for 600 s"),
    ]  # fmt: skip
    (alert,) = store.alerts.last()
    assert (alert.rule, alert.text, alert.ended_at) == ("stall", "nothing moves for 600 s", clock.now)


def test_active_alerts_survive_reopening(store, open_store, location, clock):
    store.alerts.update("disk", "full")
    clock.now += 5
    store.alerts.update("worker", "none takes from image")
    store.alerts.update("stall", None)
    again = open_store(location)
    assert [alert.rule for alert in again.alerts.active()] == ["disk", "worker"]
    assert not again.alerts.update("disk", "fuller")
    assert again.alerts.update("disk", None, end_text="room again")
    assert [alert.rule for alert in store.alerts.active()] == ["worker"]


def test_concurrent_updates_begin_one_alert(store):
    with ThreadPoolExecutor(6) as pool:
        changes = list(pool.map(lambda _: store.alerts.update("backlog", "99 groups wait"), range(24)))
    assert sum(changes) == 1
    assert len(store.alerts.last()) == 1


def test_prune_keeps_active_alerts(store, clock):
    store.alerts.update("stall", "old")
    store.alerts.update("stall", None)
    store.alerts.update("disk", "old and still true")
    clock.now += 1000
    assert store.alerts.prune(clock.now - 10) == 1
    assert [alert.text for alert in store.alerts.last()] == ["old and still true"]


def test_alerts_are_paged_newest_first(store, clock):
    for number in range(5):
        clock.now += 1
        store.alerts.update("stall", f"number {number}")
        store.alerts.update("stall", None)
    first = store.alerts.last(limit=2)
    assert [alert.text for alert in first] == ["number 4", "number 3"]
    assert [alert.text for alert in store.alerts.last(before=first[-1].id)] == ["number 2", "number 1", "number 0"]


def test_database_refuses_second_active_alert(store, clock):
    row = {"rule": "stall", "level": "error", "text": "x", "began_at": clock.now}
    with pytest.raises(IntegrityError), store.database.write() as session:
        session.add_all([tables.Alert(**row), tables.Alert(**row)])
