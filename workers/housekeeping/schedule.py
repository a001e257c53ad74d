"""Periodic tasks of the producer process, in a thread of their own so that none of them delays a group."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from contimg.instrument.time import DAY_S
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
from contimg.survey.archive.options import ArchiveOptions
from workers import logs
from workers.broker import url_in_force
from workers.housekeeping.alerts import AlertEvaluator, check_broker_is_own
from workers.housekeeping.archive import ArchiveRounds
from workers.housekeeping.cleanup import delete_expired, finish_drops, remove_orphans
from workers.housekeeping.clocks import INTERVAL_S, record_clock
from workers.housekeeping.hips import HipsUpdater
from workers.housekeeping.nights import CHECK_S, write_due_reports
from workers.housekeeping.resources import DiskMonitor, disks, record_sample, record_sizes
from workers.inspection import CeleryInspector, InspectionCache
from workers.notifications import Notifier


@dataclass(frozen=True)
class PeriodicTask:
    """A function that is called every `interval_s` seconds."""

    name: str
    interval_s: float
    run: Callable[[], object]


class TaskSchedule:
    """Runs tasks one after the other, each at its own interval; one that fails is logged once and run again."""

    def __init__(self, tasks: Sequence[PeriodicTask]) -> None:
        self._due_s = dict.fromkeys(tasks, 0.0)  # on the monotonic clock
        self._steps = logs.RepeatedSteps()

    def run(self, stop: threading.Event) -> None:
        """Run the tasks until `stop` is set.

        Parameters
        ----------
        stop : event that ends the run; a task under way is completed first.
        """
        while not stop.wait(self.run_due()):
            pass

    def run_due(self) -> float:
        """Run the tasks that are due and return the seconds until the next one is."""
        for task, due_s in self._due_s.items():
            if due_s <= time.monotonic():
                self._steps.run(task.name, task.run)
                self._due_s[task] = time.monotonic() + task.interval_s
        return max(0.0, min(self._due_s.values()) - time.monotonic())


def periodic_tasks(config: StreamingConfig, store: Store) -> list[PeriodicTask]:
    """List the tasks of one service.

    Parameters
    ----------
    config : the configuration, with the intervals and whether samples are recorded.
    store : store that the tasks work on.

    Raises
    ------
    Misconfigured : a setting of a task is wrong.
    """
    interval_s, retention = config.worker_poll_interval, RetentionRules.from_environment()
    monitor = DiskMonitor(store, DiskLimits.from_environment(), lambda: disks(config), retention)
    settings = Settings.from_environment()
    inspector = InspectionCache(partial(CeleryInspector().inspect, url_in_force(settings)))
    alerts = AlertEvaluator(
        store, DispatchSettings.from_environment(), AlertLimits.from_environment(), inspector.latest,
        lambda: settings.reference_path,
    )  # fmt: skip
    archive = ArchiveRounds(store, ArchiveOptions.from_environment(), settings)
    notifier = Notifier(store, NotificationSettings.from_environment())
    tasks = [
        PeriodicTask("disk monitor", interval_s, monitor.check),
        PeriodicTask("orphan removal", 3 * interval_s, lambda: remove_orphans(config, store)),
        PeriodicTask("campaign removal", 3 * interval_s, lambda: finish_drops(config, store)),
        PeriodicTask("clock", INTERVAL_S, lambda: record_clock(store)),
        PeriodicTask("broker", INTERVAL_S, lambda: check_broker_is_own(store, settings)),
        PeriodicTask("alert evaluation", interval_s, alerts.evaluate),
        PeriodicTask("retention", retention.retention_interval_s, lambda: delete_expired(store, retention)),
        PeriodicTask("store sizes", DAY_S, lambda: record_sizes(store)),
        PeriodicTask("archive", interval_s, archive.check),
        PeriodicTask("sky", interval_s, HipsUpdater(store).check),
        PeriodicTask("nights", CHECK_S, lambda: write_due_reports(store, config.output_dir)),
        PeriodicTask("notification", interval_s, notifier.send_new),  # without a recipient it ends the alert
    ]
    if config.monitoring:
        tasks.append(PeriodicTask("sampling", config.monitor_interval, lambda: record_sample(config, store)))
    return tasks
