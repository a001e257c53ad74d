"""The condition of the stream: running, paused, stalled or stopped, with the reason.

It is judged by the age of the newest success (scan of the incoming directory, lease of a group), because a process can
live on with a fresh heartbeat while the thread that does its work is dead.
"""

from dataclasses import dataclass
from typing import Literal

from contimg.store import State, Status
from contimg.units import format_duration


@dataclass(frozen=True)
class Condition:
    """The condition and its reason; `scan_overdue`: the producer runs and does not scan the incoming directory."""

    state: Literal["running", "paused", "stalled", "stopped"]
    reason: str
    scan_overdue: bool = False

    @property
    def healthy(self) -> bool:
        """Whether the stream works, or is paused on purpose."""
        return self.state in ("running", "paused")


@dataclass(frozen=True)
class Observations:
    """What a condition is assessed from.

    Attributes
    ----------
    snapshot : the store's view.
    running, error, uptime_s : state of the service; `uptime_s` is None when it is unknown.
    scan_age_s : time since the incoming directory was last scanned, s; None for never.
    scan_limit_s : maximum of that age, s.
    work_unclaimed : a group was sent to the workers long ago and none has claimed it.
    """

    snapshot: Status
    running: bool
    error: str | None
    uptime_s: float | None
    scan_age_s: float | None
    scan_limit_s: float
    work_unclaimed: bool

    @property
    def is_scanning(self) -> bool:
        """Whether the last scan is recent, or the service has just been started."""
        is_new = self.uptime_s is not None and self.uptime_s < self.scan_limit_s
        return is_new or (self.scan_age_s is not None and self.scan_age_s <= self.scan_limit_s)


def assess_condition(observed: Observations) -> Condition:
    """Return the condition of the stream; the first rule that applies gives it.

    Parameters
    ----------
    observed : state of the service and of the store at one time.

    Returns
    -------
    in the order of the rules: stopped, when the service does not run; paused; stalled, when the service reports an
    error, the last scan is too old, or sent work is not claimed while no stage runs; otherwise running.
    """
    snapshot = observed.snapshot
    if not observed.running:
        return Condition("stopped", observed.error or _last_scan(observed.scan_age_s))
    if snapshot.paused:
        return Condition("paused", "no further stage starts until it is resumed; files are still collected")
    if observed.error:
        return Condition("stalled", observed.error)
    if not observed.is_scanning:
        reason = f"{_last_scan(observed.scan_age_s)} (limit {format_duration(observed.scan_limit_s)})"
        return Condition("stalled", reason, scan_overdue=True)
    if observed.work_unclaimed and not snapshot.running:
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
        return f"{count} {'stage' if count == 1 else 'stages'} running"
    if snapshot.states[State.COLLECTING]:
        return "collecting the files of a group"
    if snapshot.states[State.PENDING]:
        return "groups are pending"
    return "idle: waiting for subband files"
