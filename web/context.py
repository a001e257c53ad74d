"""The context of an application: settings, store, service, live events, and the overview that requests share."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from flask import current_app

from contimg.common.errors import Misconfigured
from contimg.settings import AlertLimits, DiskLimits, DispatchSettings, Settings, StreamingConfig, load, scan_limit_s
from contimg.settings.alerts import AlertRule, alert_rules
from contimg.store import AlertRecord, AttentionItem, DiskPause, Status, Store, StreamActivity, sort_by_urgency
from web.activity.live import LiveEvents
from web.activity.prometheus import EndedStages
from web.streaming.condition import Condition, assess_condition
from web.streaming.service import StreamingService
from workers.inspection import Inspection, InspectionCache
from workers.producer import SCAN_BEAT
from workers.service.records import ServiceStatus

EXTENSION = "contimg"
OVERVIEW_ENTRIES = 8  # entries of each list in the overview that pages share
# How many times `fresh_s` a shared value may be old while another thread computes a newer one.
MAX_STALENESS = 3.0
Value = TypeVar("Value")


@dataclass(frozen=True)
class StreamOverview:
    """The stream at one time.

    Attributes
    ----------
    scan_age_s : time since the incoming directory was last scanned, s; None for never.
    alerts : those that hold, the most urgent first.
    attention : failed groups and quarantined files by reason.
    disk_pause : the disk that pauses the stream; None while none does.
    inspection : the newest answer of the workers; None before the first.
    """

    snapshot: Status
    service: ServiceStatus
    condition: Condition
    scan_age_s: float | None
    activity: StreamActivity
    alerts: tuple[AlertRecord, ...]
    attention: tuple[AttentionItem, ...]
    disk_pause: DiskPause | None
    inspection: Inspection | None


@dataclass(frozen=True)
class Panel:
    """What the views of an application use.

    Attributes
    ----------
    fresh_s : maximum age of a value that requests share, s.
    ended : cache of the counts of ended stages.
    """

    settings: Settings
    store: Store
    service: StreamingService
    live: LiveEvents
    inspector: InspectionCache
    fresh_s: float = 1.0
    ended: EndedStages = field(default_factory=lambda: EndedStages(time.time()))
    _shared: dict[object, tuple[float, Any]] = field(default_factory=dict)
    _making: threading.RLock = field(default_factory=threading.RLock)

    def config(self) -> StreamingConfig:
        """Return the configuration in force; raises Misconfigured."""
        return load(self.settings)

    def valid_config(self) -> StreamingConfig | None:
        """Return the configuration in force; None while it is not valid, which the service's status reports."""
        with suppress(Misconfigured):
            return self.config()
        return None

    def alert_rules(self) -> tuple[AlertRule, ...]:
        """Return every rule of alerts with the limits in force; none while these are not valid."""
        try:
            return alert_rules(
                DispatchSettings.from_environment(),
                DiskLimits.from_environment(),
                AlertLimits.from_environment(),
                self.config().poll_interval,
            )
        except Misconfigured:
            return ()

    def overview(self, shown: int = OVERVIEW_ENTRIES) -> StreamOverview:
        """Return the stream's overview, which requests share.

        Parameters
        ----------
        shown : number of the newest entries of each list in it.

        Returns
        -------
        the overview, at most `fresh_s` old, or older while another thread computes a new one.
        """
        return self.shared(
            ("overview", shown),
            lambda: read_overview(self.settings, self.store, self.service, shown, self.inspector.latest()),
        )

    def shared(self, name: object, make: Callable[[], Value]) -> Value:
        """Return a value that is made at most once in `fresh_s`.

        Parameters
        ----------
        name : key of the value.
        make : computes it. Other threads meanwhile get the last value, unless it is older than
            `MAX_STALENESS * fresh_s`; then they wait.
        """
        made_s, value = self._shared.get(name, (0.0, None))
        age_s = time.monotonic() - made_s
        if value is not None and age_s < self.fresh_s:
            return cast(Value, value)
        must_wait = value is None or age_s >= MAX_STALENESS * self.fresh_s
        if not self._making.acquire(blocking=must_wait):
            return cast(Value, value)
        try:
            made_s, value = self._shared.get(name, (0.0, None))
            if value is None or time.monotonic() - made_s >= self.fresh_s:
                value = make()
                self._shared[name] = (time.monotonic(), value)
            return cast(Value, value)
        finally:
            self._making.release()

    def forget_overview(self) -> None:
        """Drop every shared value after a change."""
        with self._making:
            self._shared.clear()


def read_overview(
    settings: Settings, store: Store, service: StreamingService, shown: int, inspection: Inspection | None = None
) -> StreamOverview:
    """Return the stream's overview as it is now.

    Parameters
    ----------
    settings : deployment settings.
    store, service : of the stream.
    shown : number of the newest entries of each list in it.
    inspection : the newest answer of the workers.
    """
    snapshot, status = store.overview.snapshot(shown), service.status()
    beat = store.activity.last_beat(SCAN_BEAT)
    scan_age_s = None if beat is None else max(0.0, snapshot.at - beat)
    limit_s, observed = scan_limit_s(0.0), status
    try:
        limit_s = scan_limit_s(load(settings).poll_interval)
    except Misconfigured as wrong:
        observed = replace(status, error=str(wrong))
    sent_before_s = 2 * store.database.rules.lease_s
    work_unclaimed = bool(store.jobs.waiting(sent_before_s, limit=1, sent_only=True))
    activity, disk_pause = store.activity.read(), store.activity.disk_pause()
    alerts = sort_by_urgency(store.alerts.active())
    condition = assess_condition(
        snapshot, observed, scan_age_s, limit_s, work_unclaimed=work_unclaimed, alerts=alerts,
        pause=disk_pause.reason if disk_pause else None,
    )  # fmt: skip
    attention = store.attention.items()
    return StreamOverview(snapshot, status, condition, scan_age_s, activity, alerts, attention, disk_pause, inspection)


def current_panel() -> Panel:
    """Return the context of the application that serves the request."""
    return cast(Panel, current_app.extensions[EXTENSION])
