"""Temporaries that killed processes left beside the products: found when they are certainly nobody's, and removed."""

import logging
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from contimg.files.filesystems import is_locked
from contimg.files.staging import MARK, final_path, restore_replaced
from contimg.settings import StreamingConfig
from contimg.store import Store

log = logging.getLogger(__name__)
_GROUP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}")


def sweep(config: StreamingConfig, store: Store) -> tuple[Path, ...]:
    """Remove orphaned temporaries and return them.

    One is an orphan when nobody has written to it for a lease's length, no process holds its lock and, if a stage of
    its group runs, when it is older than that run. A worker that was frozen meanwhile finds it gone and fails; its
    lease is gone as well.
    """
    found = tuple(orphans(config, store))
    for path in found:
        if restore_replaced(final_path(path)):
            log.warning("%s: was put aside by a process that was killed; put back", final_path(path))
            continue
        log.warning("%s: left by a process that was killed; removed", path)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return found


def orphans(config: StreamingConfig, store: Store) -> Iterable[Path]:
    """Temporaries that certainly nobody writes."""
    candidates = list(_temporaries(config))
    if not candidates:
        return
    running = {one.group: one.started_at for one in store.overview.snapshot(0).running}
    silent_since = time.time() - store.database.rules.lease_s
    for path in candidates:
        written = _last_written(path)
        named = _GROUP.search(path.name)
        since = running.get(named[0]) if named else None
        is_old = written is not None and written < silent_since and (since is None or written < since)
        if is_old and not is_locked(path):
            yield path


def _temporaries(config: StreamingConfig) -> Iterable[Path]:
    """Products under a temporary name, flag summaries among them, and the rooms where calibration sets are solved."""
    products = config.output_dir
    for directory in (products, products / "images", products / "calibration", config.scratch_dir):
        yield from directory.glob(f"*{MARK}*")
    yield from (products / "calibration").glob(f"*/*{MARK}*")
    yield from (products / "calibration").glob(".*.part")


def _last_written(path: Path) -> float | None:
    """When anything in it was last written, epoch seconds; None when it is gone."""
    try:
        times = [path.stat().st_mtime]
        if path.is_dir():
            times += [one.stat().st_mtime for one in path.rglob("*")]
    except OSError:
        return None  # vanished while we looked: somebody is at it
    return max(times)
