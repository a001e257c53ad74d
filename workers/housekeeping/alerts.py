"""Evaluation of the alert rules of `contimg.settings.alerts`.

Two rules are evaluated elsewhere: `disk` by `DiskMonitor`, which also pauses the stream, and `scan` by the panel, as it
concerns the process that runs this module.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from contimg.errors import Transient
from contimg.settings import AlertLimits, DispatchSettings, Settings
from contimg.settings.alerts import ERROR, WARNING
from contimg.store import Store, StreamActivity
from contimg.units import format_duration
from workers.broker import announce_service, url_in_force
from workers.housekeeping.clocks import wrong_clocks
from workers.inspection import Inspection


def check_broker_is_own(store: Store, settings: Settings) -> None:
    """Raise or end the alert `broker`: another service uses the same database of the broker.

    Parameters
    ----------
    store : the store, whose identity names the service.
    settings : gives the broker, and the state directory that describes the service to others.
    """
    url, description = url_in_force(settings), f"{socket.gethostname()}:{settings.state_dir.absolute()}"
    try:
        other_services = announce_service(url, store.activity.store_identity(), description)
    except Transient:
        return  # the rule `worker` reports a broker that does not answer
    users = ", ".join(other_services)
    problem = f"broker: {url} is also used by the service of {users}, and each takes the other's messages; "
    problem += "give one of them another database (/1, /2) in CONTIMG_BROKER_URL"
    store.alerts.update(
        "broker", problem if other_services else None, level=ERROR, end_text="broker: over, it is used by one"
    )


@dataclass
class AlertEvaluator:
    """Evaluates every rule; the store records the beginning and the end of each alert once.

    Parameters
    ----------
    store : the store.
    dispatch : limits of the rules `stall` and `backlog`.
    limits : limits of the other rules.
    inspect : returns the last inspection of the workers, or None without one.
    """

    store: Store
    dispatch: DispatchSettings
    limits: AlertLimits = field(default_factory=AlertLimits)
    inspect: Callable[[], Inspection | None] = lambda: None
    _unserved_since: float | None = field(default=None, init=False)

    def evaluate(self) -> None:
        """Evaluate every rule once."""
        activity, judge = self.store.activity.read(), self.store.alerts.update
        judge("stall", self._stall(activity), level=ERROR, end_text="stall: over, groups advance")
        judge("no product", self._no_product(activity), level=ERROR, end_text="no product: over, an image was made")
        judge("failures", self._failures(activity), level=ERROR, end_text="failures: over, a group was completed")
        judge("backlog", self._backlog(activity), level=WARNING, end_text="backlog: over")
        judge("worker", self._worker(), level=ERROR, end_text="worker: over, every queue has a worker")
        judge("clock", next(iter(wrong_clocks(self.store)), None), level=WARNING, end_text="clock: over")

    def _stall(self, activity: StreamActivity) -> str | None:
        """Groups wait, files have arrived, and no stage was committed for too long; never while paused."""
        if activity.waiting_since is None or activity.last_arrival is None or self.store.jobs.paused:
            return None
        idle_s = activity.at - max(activity.waiting_since, activity.last_advance or 0.0)
        if idle_s < self.dispatch.stall_s:
            return None
        return (
            f"stall: {activity.waiting} groups wait and none has advanced for {idle_s:.0f} s "
            f"(limit {self.dispatch.stall_s:g} s); see `contimg workers` and the workers' logs"
        )

    def _no_product(self, activity: StreamActivity) -> str | None:
        """Files still arrive, and no image was made of the groups that came after the last one; never while paused."""
        limit_s = self.limits.alert_no_product_s
        if not limit_s or activity.unanswered_since is None or activity.last_arrival is None or self.store.jobs.paused:
            return None
        if activity.at - activity.last_arrival > limit_s or activity.at - activity.unanswered_since < limit_s:
            return None
        duration = format_duration(activity.at - activity.unanswered_since)
        return (
            f"no product: files have arrived for {duration} without an image (limit {format_duration(limit_s)}); "
            "see the failed groups and the quarantined files"
        )

    def _failures(self, activity: StreamActivity) -> str | None:
        limit = self.limits.alert_failures
        if not limit or activity.failed_in_row < limit:
            return None
        return (
            f"failures: {activity.failed_in_row} groups have failed in succession (limit {limit}); "
            "see `contimg groups list --state failed`"
        )

    def _backlog(self, activity: StreamActivity) -> str | None:
        limit, remaining_s = self.dispatch.backlog_groups, activity.catch_up_s
        if activity.waiting <= limit:
            return None
        trend = "not decreasing" if remaining_s is None else f"done in {format_duration(remaining_s)} at this rate"
        return f"backlog: {activity.waiting} groups wait (limit {limit}), {trend}"

    def _worker(self) -> str | None:
        """A queue has had no worker, or the broker has not answered, for longer than a restart takes."""
        inspection = self.inspect() if self.limits.alert_worker_s else None
        problem = None if inspection is None else inspection.error
        if inspection is not None and inspection.unserved:
            problem = f"no worker for {', '.join(inspection.unserved)}; start one, see `contimg workers`"
        now = self.store.database.clock()
        self._unserved_since = (now if self._unserved_since is None else self._unserved_since) if problem else None
        if self._unserved_since is None or now - self._unserved_since < self.limits.alert_worker_s:
            return None
        return f"worker: {problem}"
