"""A disk that is nearly full pauses the stream, with a reason, before a stage runs into its end."""

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from contimg.settings import DiskLimits, StreamingConfig
from contimg.store import Store

log = logging.getLogger(__name__)
WHO = "the disk watch"
_GB = 1e9


@dataclass(frozen=True)
class Disk:
    """One file system that the stream writes to: which directory told of it, how full, how much is free."""

    directory: Path
    used_percent: float
    free_bytes: int


def disks(config: StreamingConfig) -> list[Disk]:
    """Each file system once, by the first directory that lies on it."""
    return list(_each_once((config.output_dir, config.scratch_dir, config.input_dir, _store_directory(config))))


class DiskWatch:
    """Pauses above the high watermark and resumes below the low one; only its own pause, never an operator's."""

    def __init__(
        self,
        store: Store,
        rules: DiskLimits,
        look: Callable[[], Iterable[Disk]],
    ) -> None:
        self._store = store
        self._rules = rules
        self._look = look

    def look(self) -> None:
        """Look once."""
        found = sorted(self._look(), key=lambda disk: -disk.used_percent)
        if not found:
            return
        fullest, who = found[0], self._store.jobs.paused_by
        reason = f"{fullest.directory}: its disk is {fullest.used_percent:.1f} % full"
        if who is None and fullest.used_percent >= self._rules.disk_high_percent:
            self._store.jobs.pause(WHO)
            log.error("%s; paused", reason)
        elif who == WHO and fullest.used_percent < self._rules.disk_low_percent:
            self._store.jobs.resume(WHO)
            log.info("%s; resumed", reason)
        self._alert(fullest, reason)

    def _alert(self, fullest: Disk, reason: str) -> None:
        """Alarm above the high watermark, until it is below the low one."""
        is_on = any(one.rule == "disk" for one in self._store.alerts.on())
        limit = self._rules.disk_low_percent if is_on else self._rules.disk_high_percent
        trouble = f"{reason}, {fullest.free_bytes / _GB:.1f} GB free; paused"
        if self._store.jobs.paused_by == WHO:
            trouble += f", it goes on by itself below {self._rules.disk_low_percent:g} %"
        is_full = fullest.used_percent >= limit
        self._store.alerts.judge("disk", trouble if is_full else None, level="error", over=f"{reason} again")


def _each_once(directories: Iterable[Path]) -> Iterable[Disk]:
    seen = set()
    for directory in directories:
        there = next((one for one in (directory, *directory.parents) if one.exists()), None)
        if there is None or (device := there.stat().st_dev) in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        yield Disk(directory, 100.0 * (1.0 - usage.free / usage.total), usage.free)


def _store_directory(config: StreamingConfig) -> Path:
    return config.output_dir if "://" in config.queue_db else Path(config.queue_db).parent
