"""The condition of the stream and its reason."""

import re
from dataclasses import replace
from typing import Any

import pytest

from contimg.store import AlertRecord, Rates, Running, Stage, State, Status
from web.streaming.condition import Condition, assess_condition
from workers.service.records import ServiceStatus

QUIET = Status(
    at=1000.0,
    paused=False,
    states=dict.fromkeys(State, 0),
    waiting=dict.fromkeys(Stage, 0),
    running=(),
    oldest_pending_s=None,
    rates=Rates(0.0, None, {}),
    set_aside_count=0,
    set_aside=(),
    failed=(),
    images=(),
    warnings=(),
)
WAITING = replace(QUIET, states={**QUIET.states, State.PENDING: 3})
SERVICE = ServiceStatus(
    running=True, pid=1, started_at=0.0, uptime_seconds=9000.0, cpu_percent=None, memory_mb=None, last_heartbeat=None,
    config={}, error=None, paused=False,
)  # fmt: skip
AT_WORK = (Running("2026-02-22T03:04:05", Stage.IMAGE, "host:1", 1, 990.0, 1110.0),)


def assess(
    snapshot: Status = QUIET, scan_age_s: float | None = 2.0, unclaimed: bool = False, **service: Any
) -> Condition:
    return assess_condition(snapshot, replace(SERVICE, **service), scan_age_s, 30.0, work_unclaimed=unclaimed)


def test_idle_stream_runs() -> None:
    at_work = assess(replace(QUIET, running=AT_WORK))
    assert (assess().state, at_work.state) == ("running", "running")
    assert re.search(r"\b1 stage\b", at_work.reason)
    assert assess().reason not in ("", at_work.reason)


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"running": False}, "stopped", "2.0 s"),
        ({"running": False, "scan_age_s": None}, "stopped", ""),
        ({"running": False, "error": "input_dir is gone"}, "stopped", "input_dir is gone"),
        ({"scan_age_s": 31.0}, "stalled", "31 s"),
        ({"scan_age_s": None}, "stalled", ""),
        ({"error": "the broker does not answer"}, "stalled", "the broker does not answer"),
        ({"unclaimed": True, "snapshot": WAITING}, "stalled", "3 groups"),
        ({"unclaimed": True, "snapshot": replace(QUIET, running=AT_WORK)}, "running", "1 stage"),
        ({"snapshot": replace(QUIET, paused=True)}, "paused", "resume"),
        ({"snapshot": replace(QUIET, paused=True), "running": False}, "stopped", ""),
        ({"uptime_seconds": 200_000.0, "scan_age_s": 170_000.0}, "stalled", "47 h"),
        ({"uptime_seconds": 4.0, "scan_age_s": None}, "running", ""),
        ({"uptime_seconds": 31.0, "scan_age_s": None}, "stalled", ""),
    ],
)  # fmt: skip
def test_condition_names_state_and_reason(change: dict[str, Any], state: str, reason: str) -> None:
    condition = assess(**change)
    assert condition.state == state
    assert condition.reason
    assert reason in condition.reason
    assert condition.healthy == (state in ("running", "paused"))


DISK = AlertRecord(1, "disk", "error", "disk: full", 10.0, None)
BACKLOG = AlertRecord(2, "backlog", "warning", "backlog: 14 groups wait", 5.0, None)


def acknowledged(alert: AlertRecord) -> AlertRecord:
    return replace(alert, acknowledged_at=20.0, acknowledged_by="Vera")


@pytest.mark.parametrize(
    ("alerts", "running", "rule", "alarm", "level", "mark"),
    [
        ((), True, None, "", "good", "running"),
        ((), False, None, "", "error", "stopped"),
        ((BACKLOG,), True, "backlog", "warning", "warning", "warning: backlog"),
        ((BACKLOG, DISK), True, "disk", "error", "error", "error: disk"),
        ((BACKLOG, acknowledged(DISK)), True, "backlog", "warning", "warning", "warning: backlog"),
        (
            (acknowledged(BACKLOG), acknowledged(DISK)),
            True,
            "disk",
            "acknowledged",
            "acknowledged",
            "acknowledged: disk",
        ),
        ((acknowledged(DISK),), False, "disk", "acknowledged", "error", "acknowledged: disk · stopped"),
    ],
)
def test_worst_alert_gives_level(
    alerts: tuple[AlertRecord, ...], running: bool, rule: str | None, alarm: str, level: str, mark: str
) -> None:
    service = replace(SERVICE, running=running)
    condition = assess_condition(QUIET, service, 2.0, 30.0, work_unclaimed=False, alerts=alerts)
    assert (condition.alert.rule if condition.alert else None) == rule
    assert (condition.alarm, condition.level, condition.mark) == (alarm, level, mark)
    assert condition.alerts == len(alerts)
    assert condition.healthy is running
