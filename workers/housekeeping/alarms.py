"""What an operator should hear of without looking: the rules of `contimg.settings.alerts`, judged again and again.

Two are judged elsewhere: `disk` by the disk watch, which also pauses, and `scan` by the panel, for a producer that does
not scan may not judge either.
"""

from collections.abc import Callable

from contimg.settings import AlertLimits, DispatchSettings
from contimg.settings.alerts import ERROR, WARNING
from contimg.store import Store, StreamActivity
from contimg.units import format_duration
from workers.inspection import Inspection


class Alarms:
    """Judges every rule at each look; the store tells each beginning and each end once, whoever judges."""

    def __init__(
        self,
        store: Store,
        flow: DispatchSettings,
        limits: AlertLimits | None = None,
        inspect: Callable[[], Inspection | None] = lambda: None,
    ) -> None:
        self._store = store
        self._flow = flow
        self._limits = limits or AlertLimits()
        self._inspect = inspect
        self._without: float | None = None

    def look(self) -> None:
        """Look once."""
        seen, judge = self._store.activity.read(), self._store.alerts.judge
        judge("stall", self._stalled(seen), level=ERROR, over="groups advance again")
        judge("no product", self._no_product(seen), level=ERROR, over="images are made again")
        judge("failures", self._failures(seen), level=ERROR, over="groups are completed again")
        judge("backlog", self._backlog(seen), level=WARNING, over="the backlog is gone")
        judge("worker", self._worker(), level=ERROR, over="every queue has a worker again")

    def _stalled(self, seen: StreamActivity) -> str | None:
        """Groups wait, files have come, nothing was committed, for longer than the rule; never while paused."""
        signs = [at for at in (seen.last_advance, seen.waiting_since) if at is not None]
        if seen.waiting_since is None or seen.last_arrival is None or self._store.jobs.paused:
            return None
        for_s = seen.at - max(signs)
        if for_s < self._flow.stall_s:
            return None
        return f"stall: {seen.waiting} groups wait and none has advanced for {for_s:.0f} s; are the workers up?"

    def _no_product(self, seen: StreamActivity) -> str | None:
        """Files still come, and the first group since the newest image has had its time; never while paused."""
        limit_s = self._limits.alert_no_product_s
        if not limit_s or seen.unanswered_since is None or seen.last_arrival is None or self._store.jobs.paused:
            return None
        if seen.at - seen.last_arrival > limit_s or seen.at - seen.unanswered_since < limit_s:
            return None
        waited = format_duration(seen.at - seen.unanswered_since)
        return f"no product: files have come for {waited} and no image was made of them"

    def _failures(self, seen: StreamActivity) -> str | None:
        most = self._limits.alert_failures
        if not most or seen.failed_in_row < most:
            return None
        return f"failures: {seen.failed_in_row} groups in a row have failed, none was completed in between"

    def _backlog(self, seen: StreamActivity) -> str | None:
        if seen.waiting <= self._flow.backlog_groups:
            return None
        left_s = seen.catch_up_s
        when = "not shrinking at present" if left_s is None else f"gone in about {format_duration(left_s)} at this rate"
        return f"backlog: {seen.waiting} groups wait, {when}"

    def _worker(self) -> str | None:
        """A queue without a worker, or nobody to ask, for longer than the rule: one that restarts takes a while."""
        found = self._inspect() if self._limits.alert_worker_s else None
        trouble = None if found is None else found.error
        if found is not None and found.unserved:
            trouble = f"no worker takes from {', '.join(found.unserved)}"
        now = self._store.database.clock()
        self._without = (self._without if self._without is not None else now) if trouble else None
        if self._without is None or now - self._without < self._limits.alert_worker_s:
            return None
        return f"worker: {trouble}"
