"""Alerts: one row from a beginning to an end, whoever says it how often; on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from contimg.common.errors import BadInput
from contimg.instrument.time import DAY_S
from contimg.settings import RetentionRules
from contimg.store import sort_by_urgency, tables, worst_of


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
    pruned = store.pruning.prune(RetentionRules(keep_notable_days=10 / DAY_S))
    assert {part.records: part.rows for part in pruned}["ended alerts"] == 1
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


def test_worst_alert_is_of_highest_level(store):
    assert worst_of(store.alerts.active()) is None
    store.alerts.update("backlog", "99 groups wait")
    store.alerts.update("disk", "full", level="error")
    store.alerts.update("stall", "nothing moves", level="error")
    assert worst_of(store.alerts.active()).rule == "disk"
    store.alerts.acknowledge(worst_of(store.alerts.active()).id, "ana")
    assert worst_of(store.alerts.active()).rule == "stall"
    order = [(alert.rule, alert.urgency) for alert in sort_by_urgency(store.alerts.active())]
    assert order == [("stall", "error"), ("backlog", "warning"), ("disk", "acknowledged")]
    store.alerts.update("stall", None)
    assert worst_of(store.alerts.active()).rule == "backlog"
    store.alerts.update("backlog", None)
    assert worst_of(store.alerts.active()).rule == "disk"


def test_acknowledge_records_name(store, open_store, location, clock):
    store.alerts.update("stall", "nothing moves", level="error")
    (alert,) = store.alerts.active()
    clock.now += 60
    done = store.alerts.acknowledge(alert.id, "ana", "the disk array is rebuilt")
    assert (done.acknowledged_by, done.acknowledged_at, done.acknowledged_note) == (
        "ana", clock.now, "the disk array is rebuilt",
    )  # fmt: skip
    assert open_store(location).alerts.active() == (done,)
    event = store.events.last(1)[0]
    assert event.rule == "stall"
    assert "ana" in event.text
    assert "rebuilt" in event.text
    with pytest.raises(BadInput, match="ana already"):
        store.alerts.acknowledge(alert.id, "ben")
    store.alerts.update("stall", None)
    with pytest.raises(BadInput, match="ended"):
        store.alerts.acknowledge(alert.id, "ben")
    with pytest.raises(BadInput, match="not in the store"):
        store.alerts.acknowledge(alert.id + 1, "ben")


def test_silence_ends_at_its_time_or_before(store, clock):
    store.alerts.update("stall", "nothing moves", level="error")
    until = clock.now + 3600
    silence = store.silences.add("stall", until=until, reason="upgrade of the array", by="ana")
    assert store.alerts.active()[0].silenced_until == until
    assert "ana" in store.events.last(1)[0].text
    clock.now = until
    assert store.alerts.active()[0].silenced_until is None
    assert store.silences.in_force() == ()
    with pytest.raises(BadInput, match=str(silence.id)):
        store.silences.end(silence.id, "ben")
    window = store.silences.add(None, until=clock.now + 60, reason="power", by="ana")
    assert store.alerts.active()[0].silenced_until == clock.now + 60
    assert store.silences.current_and_planned() == (window,)
    store.silences.end(window.id, "ben")
    assert store.silences.current_and_planned() == ()
    assert store.alerts.active()[0].silenced_until is None


@pytest.mark.parametrize(("shift_s", "reason"), [(0, "power"), (-1, "power"), (60, " ")])
def test_wrong_silences_are_refused(store, clock, shift_s, reason):
    with pytest.raises(BadInput):
        store.silences.add("stall", until=clock.now + shift_s, reason=reason, by="ana")
    assert store.silences.last() == ()


def test_end_of_silence_reports_alerts_begun_in_it_once(store, open_store, location, clock):
    store.alerts.update("backlog", "99 groups wait")
    clock.now += 1
    window = store.silences.add(None, until=clock.now + 60, reason="power", by="ana")
    clock.now += 1
    store.alerts.update("disk", "disk: full", level="error")
    store.silences.report_ended()
    clock.now = window.ends_at
    number = len(store.events.last())
    for opened in (store, open_store(location)):
        opened.silences.report_ended()
        assert len(store.events.last()) == number + 1
    event = store.events.last(1)[0]
    assert event.level == "error"
    assert "disk: full" in event.text
    assert "99 groups" not in event.text
    assert not window.covers(event.rule, event.at)


def test_alert_is_reported_after_last_of_overlapping_silences(store, clock):
    silence = store.silences.add("stall", until=clock.now + 10, reason="power", by="ana")
    store.alerts.update("stall", "stall: nothing moves", level="error")
    clock.now += 5
    window = store.silences.add(None, until=clock.now + 60, reason="power", by="ana")
    for ended in (silence, window):
        clock.now = ended.ends_at
        store.silences.report_ended()
        event = store.events.last(1)[0]
        assert (event.level, "nothing moves" in event.text) == ("error", True)
        assert window.covers(event.rule, event.at) == (ended == silence)


def test_changed_value_is_reported_once(store, open_store, location):
    again = open_store(location)
    changes = [(store, "33.0"), (again, "33.0"), (again, "54.6"), (store, "54.6"), (store, "33.0")]
    reported = [opened.alerts.report_change("declination", value, f"now {value}") for opened, value in changes]
    assert reported == [False, False, True, False, True]
    assert [(event.text, event.rule) for event in store.events.last()] == [
        ("now 33.0", "declination"), ("now 54.6", "declination"),
    ]  # fmt: skip
