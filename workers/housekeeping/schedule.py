"""Periodic tasks of the producer process, in a thread of their own so that none of them delays a group."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import ContimgError
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
from workers.housekeeping.alerts import AlertEvaluator
from workers.housekeeping.cleanup import delete_expired, remove_orphans
from workers.housekeeping.resources import DiskMonitor, disks, record_sample
from workers.inspection import CeleryInspector, InspectionCache
from workers.notifications import Notifier

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeriodicTask:
    """A function that is called every `interval_s` seconds."""

    name: str
    interval_s: float
    run: Callable[[], object]


class TaskSchedule:
    """Runs tasks one after the other, each at its own interval; one that fails is logged once and run again."""

    def __init__(self, tasks: Sequence[PeriodicTask]) -> None:
        self._tasks = tuple(tasks)
        self._due = dict.fromkeys((task.name for task in tasks), 0.0)
        self._last_errors: dict[str, str] = {}

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
        for task in self._tasks:
            if self._due[task.name] <= time.monotonic():
                self._run(task)
                self._due[task.name] = time.monotonic() + task.interval_s
        return max(0.0, min(self._due.values(), default=60.0) - time.monotonic())

    def _run(self, task: PeriodicTask) -> None:
        try:
            task.run()
        except (ContimgError, SQLAlchemyError, OSError) as error:
            message = str(error).splitlines()[0]
            if self._last_errors.get(task.name) != message:
                log.error("%s: %s; repeated every %g s", task.name, message, task.interval_s)
            self._last_errors[task.name] = message
        except Exception:
            log.exception("%s: unexpected error; repeated every %g s", task.name, task.interval_s)
        else:
            self._last_errors.pop(task.name, None)


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
    monitor = DiskMonitor(store, DiskLimits.from_environment(), lambda: disks(config))
    inspector = InspectionCache(partial(CeleryInspector().inspect, url_in_force(Settings.from_environment())))
    alerts = AlertEvaluator(
        store, DispatchSettings.from_environment(), AlertLimits.from_environment(), inspector.latest
    )
    notifier = Notifier(store, NotificationSettings.from_environment())
    tasks = [
        PeriodicTask("disk monitor", interval_s, monitor.check),
        PeriodicTask("orphan removal", 3 * interval_s, lambda: remove_orphans(config, store)),
        PeriodicTask("alert evaluation", interval_s, alerts.evaluate),
        PeriodicTask("retention", retention.retention_interval_s, lambda: delete_expired(store, retention)),
    ]
    if config.monitoring:
        tasks.append(PeriodicTask("sampling", config.monitor_interval, lambda: record_sample(config, store)))
    if notifier.is_enabled:
        tasks.append(PeriodicTask("notification", interval_s, notifier.send_new))
    return tasks
