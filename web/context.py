"""What every page and answer of the panel draws from: the settings, the store, the service, the live events."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from flask import current_app

from contimg.errors import Misconfigured
from contimg.instrument.dsa110 import CADENCE_S
from contimg.settings import AlertLimits, DiskLimits, DispatchSettings, Settings, StreamingConfig, load, scan_limit_s
from contimg.settings.alerts import AlertRule, alert_rules
from contimg.store import AlertRecord, Stage, Status, Store, StreamActivity
from web.activity.live import LiveEvents
from web.activity.prometheus import EndedStages
from web.streaming.condition import Condition, Signs, judge
from web.streaming.service import SCAN, StreamingService
from web.tiles.picture import Pictures
from workers.inspection import Inspection, Inspector
from workers.service.records import ServiceStatus

EXTENSION = "contimg"
# How many times its usual age a shared look may have while a newer one is being made.
STALE = 3.0
Made = TypeVar("Made")


@dataclass(frozen=True)
class StreamOverview:
    """The stream at one moment.

    `scan_age_s`: seconds since the incoming directory was last scanned with success, None for never. `alerts`: those
    that hold. `inspection`: what Celery last said of workers and queues, None before it said anything.
    """

    snapshot: Status
    service: ServiceStatus
    condition: Condition
    scan_age_s: float | None
    pulse: StreamActivity
    alerts: tuple[AlertRecord, ...]
    inspection: Inspection | None

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of sky per second of processing, the stages one after the other; None until each has run."""
        seconds = self.snapshot.rates.stage_seconds
        total = sum(seconds.values())
        return CADENCE_S / total if total > 0 and set(seconds) == set(Stage) else None


@dataclass(frozen=True)
class Panel:
    """The stream as the panel sees it.

    `fresh_s`: how old a overview may be that several visitors share, s.
    """

    settings: Settings
    store: Store
    service: StreamingService
    live: LiveEvents
    inspector: Inspector
    fresh_s: float = 1.0
    pictures: Pictures = field(default_factory=Pictures)
    ended: EndedStages = field(default_factory=lambda: EndedStages(time.time()))
    _shared: dict[object, tuple[float, Any]] = field(default_factory=dict)
    _making: threading.RLock = field(default_factory=threading.RLock)

    def config(self) -> StreamingConfig:
        """The configuration in force now; raises Misconfigured."""
        return load(self.settings)

    def alert_rules(self) -> tuple[AlertRule, ...]:
        """Return every rule of alarms with the limits in force; none while these are not valid."""
        try:
            return alert_rules(
                DispatchSettings.from_environment(),
                DiskLimits.from_environment(),
                AlertLimits.from_environment(),
                self.config().poll_interval,
            )
        except Misconfigured:
            return ()

    def overview(self, shown: int = 5) -> StreamOverview:
        """One look at the stream, with the newest `shown` of each list; one look serves all who ask at a time."""
        return self.shared(("overview", shown), lambda: self._look(shown))

    def shared(self, name: object, make: Callable[[], Made]) -> Made:
        """What was made under a name less than `fresh_s` ago, or made now, once for all who want it.

        While one makes a newer one, others get the last, if it is not much older: nobody waits for a rendering but
        him who does it.
        """
        at, made = self._shared.get(name, (0.0, None))
        age_s = time.monotonic() - at
        if made is not None and age_s < self.fresh_s:
            return cast(Made, made)
        must_wait = made is None or age_s >= STALE * self.fresh_s
        if not self._making.acquire(blocking=must_wait):
            return cast(Made, made)
        try:
            at, made = self._shared.get(name, (0.0, None))
            if made is None or time.monotonic() - at >= self.fresh_s:
                made = make()
                self._shared[name] = (time.monotonic(), made)
            return cast(Made, made)
        finally:
            self._making.release()

    def forget_overview(self) -> None:
        """Look anew the next time: something was just changed."""
        with self._making:
            self._shared.clear()

    def _look(self, shown: int) -> StreamOverview:
        snapshot, status = self.store.overview.snapshot(shown), self.service.status()
        beat = self.store.activity.last_beat(SCAN)
        scan_age_s = None if beat is None else max(0.0, snapshot.at - beat)
        try:
            poll_interval_s, error = self.config().poll_interval, status.error
        except Misconfigured as wrong:
            poll_interval_s, error = 0.0, str(wrong)
        signs = Signs(
            snapshot=snapshot,
            running=status.running,
            error=error,
            uptime_s=status.uptime_seconds,
            scan_age_s=scan_age_s,
            scan_limit_s=scan_limit_s(poll_interval_s),
            untaken=bool(self.store.jobs.waiting(2 * self.store.database.rules.lease_s, limit=1, sent_only=True)),
        )
        return StreamOverview(
            snapshot, status, judge(signs), scan_age_s, self.store.activity.read(), self.store.alerts.on(),
            self.inspector.latest(),
        )  # fmt: skip


def current_panel() -> Panel:
    """The stream of the application that serves the request."""
    return cast(Panel, current_app.extensions[EXTENSION])
