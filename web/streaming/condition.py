"""The stream in one word with its reason: running, paused, stalled, stopped.

Twice at the telescope a thread died while its process lived on with a fresh heartbeat. So what counts here is the age
of the newest success: the last scan of the incoming directory, the last group that a worker took.
"""

from dataclasses import dataclass
from typing import Literal

from contimg.store import State, Status
from contimg.units import format_duration


@dataclass(frozen=True)
class Condition:
    """One word and why; `scans_not`: the producer should scan, and does not."""

    state: Literal["running", "paused", "stalled", "stopped"]
    reason: str
    scans_not: bool = False

    @property
    def healthy(self) -> bool:
        """Whether an operator can sleep."""
        return self.state in ("running", "paused")


@dataclass(frozen=True)
class Signs:
    """What a condition is judged from.

    Attributes
    ----------
    snapshot : the store's own view.
    running, error, uptime_s : what the service says of itself; uptime None when it cannot be known.
    scan_age_s : seconds since the incoming directory was last scanned with success, None for never.
    scan_limit_s : the age at which that becomes a fault.
    untaken : a group was sent to the workers long ago and none has taken it.
    """

    snapshot: Status
    running: bool
    error: str | None
    uptime_s: float | None
    scan_age_s: float | None
    scan_limit_s: float
    untaken: bool

    @property
    def scans(self) -> bool:
        """Whether the producer does its work; one that has just been started may still come to it."""
        young = self.uptime_s is not None and self.uptime_s < self.scan_limit_s
        return young or (self.scan_age_s is not None and self.scan_age_s <= self.scan_limit_s)


def judge(signs: Signs) -> Condition:
    """The condition of the stream."""
    snapshot = signs.snapshot
    if not signs.running:
        return Condition("stopped", signs.error or _last_seen(signs.scan_age_s))
    if snapshot.paused:
        return Condition("paused", "no further stage begins until it is resumed; files are still collected")
    if signs.error:
        return Condition("stalled", signs.error)
    if not signs.scans:
        return Condition("stalled", f"the producer does not scan: {_last_seen(signs.scan_age_s)}", scans_not=True)
    if signs.untaken and not snapshot.running:
        pending = snapshot.states[State.PENDING]
        groups = "1 group waits" if pending == 1 else f"{pending} groups wait"
        return Condition("stalled", f"{groups} and no worker takes them: look at the workers and the broker")
    return Condition("running", _work(snapshot))


def _last_seen(scan_age_s: float | None) -> str:
    if scan_age_s is None:
        return "the incoming directory has never been scanned"
    return f"the incoming directory was last scanned {format_duration(scan_age_s)} ago"


def _work(snapshot: Status) -> str:
    count = len(snapshot.running)
    if count:
        return f"{count} {'stage' if count == 1 else 'stages'} under way"
    if snapshot.states[State.COLLECTING]:
        return "a group is being collected"
    if snapshot.states[State.PENDING]:
        return "work is on its way to the workers"
    return "idle: waiting for subband files"
