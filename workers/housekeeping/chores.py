"""Which chores the house has, and how often each is done."""

from functools import partial

from contimg.settings import (
    AlertLimits,
    DiskLimits,
    DispatchSettings,
    NotificationSettings,
    RetentionRules,
    Settings,
    StreamingConfig,
)
from contimg.store import Store
from workers.broker import url_in_force
from workers.housekeeping.alarms import Alarms
from workers.housekeeping.disks import DiskWatch, disks
from workers.housekeeping.housekeeper import Chore
from workers.housekeeping.orphans import sweep
from workers.housekeeping.retention import retire
from workers.housekeeping.sampling import sample
from workers.inspection import Asker, Inspector
from workers.notifications import Notifier


def chores(config: StreamingConfig, store: Store) -> list[Chore]:
    """All of them, for one service; raises Misconfigured when a rule in the environment is wrong."""
    often_s = config.worker_poll_interval
    watch = DiskWatch(store, DiskLimits.from_environment(), lambda: disks(config))
    inspector = Inspector(partial(Asker().ask, url_in_force(Settings.from_environment())))
    limits = AlertLimits.from_environment()
    alarms = Alarms(store, DispatchSettings.from_environment(), limits, inspector.latest)
    retention = RetentionRules.from_environment()
    notifier = Notifier(store, NotificationSettings.from_environment())
    found = [
        Chore("disk watch", often_s, watch.look),
        Chore("sweep", 3 * often_s, lambda: sweep(config, store)),
        Chore("alarms", often_s, alarms.look),
        Chore("retention", retention.retention_interval_s, lambda: retire(store, retention)),
    ]
    if config.monitoring:
        found.append(Chore("sampling", config.monitor_interval, lambda: sample(config, store)))
    if notifier.is_wanted:
        found.append(Chore("notification", often_s, notifier.look))
    return found
