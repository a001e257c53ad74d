"""Disks and the machine: a full disk pauses the stream; samples are recorded for the panel's charts."""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError
from contimg.settings import DiskLimits, RetentionRules, StreamingConfig
from contimg.settings.alerts import RULE_LEVELS
from contimg.store import DiskPause, Stage, State, Store
from contimg.store.jobs.records import DISK_WATCH
from workers.housekeeping.cleanup import delete_expired

log = logging.getLogger(__name__)
FREEABLE_INTERVAL_S = 300.0
_SAMPLED_STATES = (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.FAILED)


@dataclass(frozen=True)
class Disk:
    """A file system that the stream writes to, and the first configured directory that lies on it."""

    directory: Path
    used_percent: float
    free_bytes: int


@dataclass(frozen=True)
class DiskMonitor:
    """Pauses the stream above the high watermark and resumes it below the low one, if it was not paused by others.

    Parameters
    ----------
    store : the store.
    limits : the watermarks.
    list_disks : returns the usage of each file system.
    retention : rules that give what retention would free.
    """

    store: Store
    limits: DiskLimits
    list_disks: Callable[[], Iterable[Disk]]
    retention: RetentionRules = field(default_factory=RetentionRules)

    def check(self) -> None:
        """Pause or resume the stream by the usage of the fullest disk, and raise or end the alert `disk`."""
        fullest = max(self.list_disks(), key=lambda disk: disk.used_percent, default=None)
        if fullest is None:
            return
        paused_by, limits, used_percent = self.store.jobs.paused_by, self.limits, fullest.used_percent
        usage = f"{fullest.directory}: disk is {used_percent:.1f} % full"
        is_raised = any(alert.rule == "disk" for alert in self.store.alerts.active())
        limit = limits.disk_low_percent if is_raised else limits.disk_high_percent
        full = self._describe(fullest) if used_percent >= limit else None
        self.store.activity.record_full_disk(full)
        if paused_by is None and used_percent >= limits.disk_high_percent:
            self.store.jobs.pause(DISK_WATCH)
            log.error("%s (limit %g %%); stream paused", usage, limits.disk_high_percent)
        elif paused_by == DISK_WATCH and used_percent < limits.disk_low_percent:
            self.store.jobs.resume(DISK_WATCH)
            log.info("%s (limit %g %%); stream resumed", usage, limits.disk_low_percent)
        problem = f"{full.reason}; stream paused; free some space" if full else None
        self.store.alerts.update("disk", problem, level=RULE_LEVELS["disk"], end_text=f"disk: over, {usage}")

    def _describe(self, disk: Disk) -> DiskPause:
        """Describe a full disk; what retention would free is determined every some minutes, as it reads every file."""
        now, before = self.store.database.clock(), self.store.activity.full_disk()
        if before and before.directory == str(disk.directory) and now - before.freeable_at < FREEABLE_INTERVAL_S:
            freeable_bytes, freeable_at = before.freeable_bytes, before.freeable_at
        else:
            freeable_bytes, freeable_at = self._freeable_bytes(disk), now
        limits = self.limits
        return DiskPause(
            str(disk.directory), round(disk.used_percent, 1), limits.disk_high_percent, limits.disk_low_percent,
            disk.free_bytes, freeable_bytes, freeable_at,
        )  # fmt: skip

    def _freeable_bytes(self, disk: Disk) -> int:
        """Bytes on a disk that retention would delete now."""
        device = _device(disk.directory)
        expired = delete_expired(self.store, self.retention, dry_run=True)
        return sum(row.size_bytes for row in expired if _device(row.product.paths[0]) == device)


def resume_refusal(store: Store) -> str | None:
    """Return why the stream cannot be resumed now: a disk is at its limit. None when it can be.

    Parameters
    ----------
    store : the store; the disk that it names is measured where its directory is on this machine.
    """
    full = store.activity.full_disk()
    if full is None:
        return None
    if (directory := Path(full.directory)).exists():
        disk = _measure(directory, directory)
        full = replace(full, used_percent=round(disk.used_percent, 1), free_bytes=disk.free_bytes)
    return f"{full.reason}; free some space" if full.is_too_full else None


def _measure(directory: Path, existing: Path) -> Disk:
    usage = shutil.disk_usage(existing)
    return Disk(directory, 100.0 * (1.0 - usage.free / usage.total), usage.free)


def _device(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_dev
    return None


def disks(config: StreamingConfig) -> list[Disk]:
    """List each file system once: of the products, the scratch files, the incoming files and the store.

    Parameters
    ----------
    config : the configuration, with these directories; one that does not exist is represented by its nearest parent.

    Returns
    -------
    the file systems; the first is that of the products.
    """
    store = config.output_dir if "://" in config.queue_db else Path(config.queue_db).parent
    devices: dict[int, Disk] = {}
    for directory in (config.output_dir, config.scratch_dir, config.input_dir, store):
        existing = next((path for path in (directory, *directory.parents) if path.exists()), None)
        if existing is not None and (device := existing.stat().st_dev) not in devices:
            devices[device] = _measure(directory, existing)
    return list(devices.values())


def record_sample(config: StreamingConfig, store: Store) -> dict[str, float]:
    """Record one sample for the charts and return it: `machine.*`, `disk.*` of the product directory, `queue.*`.

    Names and units are those of the panel's own samples: the charts have no gap while no panel runs.

    Parameters
    ----------
    config : the configuration, with the product directory.
    store : store that gives the state of the queue and that the sample is written to.

    Returns
    -------
    value by name; those of `queue.*` are numbers of jobs.
    """
    memory, status = psutil.virtual_memory(), store.overview.snapshot(0)
    values = {
        "machine.cpu_percent": psutil.cpu_percent() * psutil.cpu_count(),  # 100 % is one core, since the last sample
        "machine.memory_mb": (memory.total - memory.available) / 1024**2,
        "machine.load_1min": psutil.getloadavg()[0],
        **{f"queue.{state}": float(status.states[state]) for state in _SAMPLED_STATES},
        **{f"queue.waiting.{stage}": float(status.waiting[stage]) for stage in Stage},
    }
    for disk in disks(config)[:1]:
        values |= {"disk.used_percent": disk.used_percent, "disk.output_free_bytes": float(disk.free_bytes)}
    store.metrics.add(values)
    return values


def record_sizes(store: Store) -> threading.Thread:
    """Record the sizes of the store's tables, in a thread of its own: a large store takes seconds, which delay no task.

    Parameters
    ----------
    store : the store.

    Returns
    -------
    the thread, started.
    """
    thread = threading.Thread(target=_record_sizes, args=(store,), name="store sizes", daemon=True)
    thread.start()
    return thread


def _record_sizes(store: Store) -> None:
    try:
        store.sizes.record()
    except (ContimgError, SQLAlchemyError) as error:  # recorded again a day later
        log.warning("store sizes: %s", error)
