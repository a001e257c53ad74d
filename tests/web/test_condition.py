"""The one word that an operator reads, from every kind of sign."""

import re
from dataclasses import replace

import pytest

from contimg.store import Rates, Running, Stage, State, Status
from web.streaming.condition import Observations, assess_condition

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
WELL = Observations(QUIET, True, None, uptime_s=9000.0, scan_age_s=2.0, scan_limit_s=30.0, work_unclaimed=False)
AT_WORK = (Running("2026-02-22T03:04:05", Stage.IMAGE, "host:1", 1, 990.0, 1110.0),)


def test_a_quiet_stream_runs() -> None:
    assert assess_condition(WELL).state == "running"
    assert assess_condition(WELL).reason
    at_work = assess_condition(replace(WELL, snapshot=replace(QUIET, running=AT_WORK)))
    assert re.search(r"\b1 stage\b", at_work.reason)
    assert at_work.reason != assess_condition(WELL).reason


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"running": False}, "stopped", "2.0 s"),
        ({"running": False, "scan_age_s": None}, "stopped", ""),
        ({"running": False, "error": "input_dir is gone"}, "stopped", "input_dir is gone"),
        ({"scan_age_s": 31.0}, "stalled", "31 s"),
        ({"scan_age_s": None}, "stalled", ""),
        ({"error": "the broker does not answer"}, "stalled", "the broker does not answer"),
        ({"work_unclaimed": True, "snapshot": WAITING}, "stalled", "3 groups"),
        ({"snapshot": replace(QUIET, paused=True)}, "paused", "resume"),
        ({"snapshot": replace(QUIET, paused=True), "running": False}, "stopped", ""),
    ],
)  # fmt: skip
def test_each_fault_has_its_word_and_its_reason(change: dict[str, object], state: str, reason: str) -> None:
    condition = assess_condition(replace(WELL, **change))
    assert condition.state == state
    assert condition.reason
    assert reason in condition.reason
    assert condition.healthy == (state in ("running", "paused"))


def test_a_living_process_that_does_not_scan_is_not_healthy() -> None:
    """As at the telescope: the service up for days, the thread inside it dead."""
    condition = assess_condition(replace(WELL, uptime_s=200_000.0, scan_age_s=170_000.0))
    assert condition.state == "stalled"
    assert "47 h" in condition.reason


def test_a_service_just_started_may_still_come_to_its_first_scan() -> None:
    assert assess_condition(replace(WELL, uptime_s=4.0, scan_age_s=None)).state == "running"
    assert assess_condition(replace(WELL, uptime_s=31.0, scan_age_s=None)).state == "stalled"


def test_waiting_groups_do_not_alarm_while_workers_are_busy() -> None:
    assert (
        assess_condition(replace(WELL, work_unclaimed=True, snapshot=replace(QUIET, running=AT_WORK))).state
        == "running"
    )
