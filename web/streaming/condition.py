"""The condition of the stream: running, paused, stalled or stopped, with the reason and the worst active alert.

The state is judged by the age of the newest success (scan of the incoming directory, lease of a group), because a
process can go on with a fresh heartbeat after the thread that does its work has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from contimg.common.units import format_duration, number_of
from contimg.formats.records import about
from contimg.settings.alerts import ERROR, INFO, WARNING
from contimg.store import AlertRecord, State, Status, worst_of
from contimg.store.activity.alerts import URGENCIES
from workers.service.records import ServiceStatus


@dataclass(frozen=True)
class Condition:
    """The condition, its reason, and the active alerts."""

    state: Annotated[
        Literal["running", "paused", "stalled", "stopped"], about("Condition of the stream", example="running")
    ]
    reason: Annotated[str, about("Why", example="scanned 2 s ago")]
    scan_overdue: Annotated[
        bool, about("Whether the producer runs and does not scan the incoming directory", example=False)
    ] = False
    alert: Annotated[AlertRecord | None, about("The worst active alert; null without one")] = None
    alerts: Annotated[int, about("Active alerts", "alerts", 1)] = 0

    @property
    def healthy(self) -> bool:
        """Whether the stream works, or is paused on purpose."""
        return self.state in ("running", "paused")

    @property
    def alarm(self) -> str:
        """Level of the worst alert: `error` or `warning`; `acknowledged` when all are; empty without an alert."""
        return "" if self.alert is None else self.alert.urgency

    @property
    def level(self) -> str:
        """Level of the headline, by state and alerts: `error`, `warning`, `acknowledged` or `good`."""
        levels = (self.alarm, {"stopped": ERROR, "stalled": WARNING}.get(self.state, ""))
        return next((level for level in URGENCIES if level in levels and level != INFO), "good")

    @property
    def mark(self) -> str:
        """The headline in a few words, for the title of a tab: `error: disk · paused`."""
        words = [f"{self.alarm}: {self.alert.rule}"] if self.alert else []
        return " · ".join([*words, *([self.state] if self.state != "running" or not words else [])])


def assess_condition(
    snapshot: Status,
    service: ServiceStatus,
    scan_age_s: float | None,
    scan_limit_s: float,
    *,
    work_unclaimed: bool,
    alerts: Sequence[AlertRecord] = (),
    pause: str | None = None,
) -> Condition:
    """Return the condition of the stream; the first rule that applies gives its state.

    Parameters
    ----------
    snapshot : the store's view.
    service : state of the service.
    scan_age_s : time since the incoming directory was last scanned, s; None for never.
    scan_limit_s : maximum of that age, s.
    work_unclaimed : a group was sent to the workers long ago and none has claimed it.
    alerts : the active alerts.
    pause : why the stream is paused and what ends the pause; None for a pause that an operator ends.

    Returns
    -------
    the active alerts with the state, in the order of the rules: stopped, when the service does not run; paused;
    stalled, when the service reports an error, the last scan is too old (unless the service has just been started), or
    sent work is not claimed while no stage runs; otherwise running.
    """
    state = _assess_state(snapshot, service, scan_age_s, scan_limit_s, work_unclaimed, pause)
    return replace(state, alert=worst_of(alerts), alerts=len(alerts))


def _assess_state(
    snapshot: Status,
    service: ServiceStatus,
    scan_age_s: float | None,
    scan_limit_s: float,
    work_unclaimed: bool,
    pause: str | None,
) -> Condition:
    if not service.running:
        return Condition("stopped", service.error or _last_scan(scan_age_s))
    if snapshot.paused:
        return Condition("paused", pause or "no further stage starts until it is resumed; files are still collected")
    if service.error:
        return Condition("stalled", service.error)
    is_new = service.uptime_seconds is not None and service.uptime_seconds < scan_limit_s
    if not is_new and (scan_age_s is None or scan_age_s > scan_limit_s):
        reason = f"{_last_scan(scan_age_s)} (limit {format_duration(scan_limit_s)})"
        return Condition("stalled", reason, scan_overdue=True)
    if work_unclaimed and not snapshot.running:
        pending = snapshot.states[State.PENDING]
        groups = "1 group waits" if pending == 1 else f"{pending} groups wait"
        return Condition("stalled", f"{groups} and no worker claims them; check the workers and the broker")
    return Condition("running", _work(snapshot))


def _last_scan(scan_age_s: float | None) -> str:
    if scan_age_s is None:
        return "the incoming directory has never been scanned"
    return f"the incoming directory was last scanned {format_duration(scan_age_s)} ago"


def _work(snapshot: Status) -> str:
    count = len(snapshot.running)
    if count:
        return f"{number_of(count, 'stage')} running"
    if snapshot.states[State.COLLECTING]:
        return "collecting the files of a group"
    if snapshot.states[State.PENDING]:
        return "groups are pending"
    return "idle: waiting for subband files"
