"""Removal of temporary files and directories that killed processes have left beside the products."""

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


def remove_orphans(config: StreamingConfig, store: Store) -> tuple[Path, ...]:
    """Remove orphaned temporary files and return their paths.

    A file is an orphan when nothing was written to it for the duration of a lease, no process holds its lock and, while
    a stage of its group runs, it is older than that run. A worker that was suspended meanwhile does not find its file,
    and fails; its lease has expired as well.
    """
    removed = tuple(_find_orphans(config, store))
    for path in removed:
        if restore_replaced(final_path(path)):
            log.warning("%s: moved aside by a process that was killed; restored", final_path(path))
            continue
        log.warning("%s: left by a process that was killed; removed", path)
        delete_path(path)
    return removed


def delete_path(path: Path) -> None:
    """Delete a file or a directory tree, if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _find_orphans(config: StreamingConfig, store: Store) -> Iterable[Path]:
    candidates = list(_temporary_paths(config))
    if not candidates:
        return
    started = {run.group: run.started_at for run in store.overview.snapshot(0).running}
    silent_since = time.time() - store.database.rules.lease_s
    for path in candidates:
        written_at, group = _last_written(path), _GROUP.search(path.name)
        limit = min(silent_since, started.get(group[0], silent_since) if group else silent_since)
        if written_at is not None and written_at < limit and not is_locked(path):
            yield path


def _temporary_paths(config: StreamingConfig) -> Iterable[Path]:
    """Yield products under a temporary name, flag summaries, and the working directories of solves."""
    products = config.output_dir
    for directory in (products, products / "images", products / "calibration", config.scratch_dir):
        yield from directory.glob(f"*{MARK}*")
    yield from (products / "calibration").glob(f"*/*{MARK}*")
    yield from (products / "calibration").glob(".*.part")


def _last_written(path: Path) -> float | None:
    """Return when a file, or anything in a directory, was last written, seconds since 1970; None when it vanishes."""
    try:
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        return max(file.stat().st_mtime for file in files)
    except OSError:  # a process is at work on it
        return None
