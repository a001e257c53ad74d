"""Deletion: products and records older than the rules allow, and temporary files that killed processes have left."""

import logging
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg.common.files.locks import is_locked
from contimg.common.files.staging import MARK, final_path, remove, restore_replaced, size_bytes
from contimg.settings import RetentionRules, StreamingConfig
from contimg.store import Retirable, Store
from contimg.store.products.retention import SUBBAND_FILES
from contimg.survey.campaigns import drop_campaign
from contimg.survey.campaigns.directories import DIRECTORY as CAMPAIGNS

log = logging.getLogger(__name__)
RECORDS_S = 10.0  # for old records in a round: other tasks of the same thread wait meanwhile
_KEY = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}|b?_L\d{4}_D[+-]\d{3})")


@dataclass(frozen=True)
class ExpiredProduct:
    """A product that was deleted, or would be in a dry run, and its size in bytes."""

    product: Retirable
    size_bytes: int


def delete_expired(store: Store, rules: RetentionRules, *, dry_run: bool = False) -> tuple[ExpiredProduct, ...]:
    """Delete the products that the rules do not keep, and prune records past their age for some seconds.

    Parameters
    ----------
    store : the store.
    rules : ages and numbers that are kept.
    dry_run : whether to delete nothing and only return what would be deleted.

    Returns
    -------
    tuple of ExpiredProduct
        The products, oldest first, without those that lack a verified copy.
    """
    expired = []
    for product in store.retention.due(rules):
        if product.lacking_copies:
            continue
        size = _size_bytes(product.paths)
        if dry_run or _delete(store, product):
            expired.append(ExpiredProduct(product, size))
    if not dry_run:
        store.pruning.prune(rules, limit_s=RECORDS_S)
    if expired and not dry_run:
        log.info("retention: deleted %d products, %.1f GB", len(expired), sum(row.size_bytes for row in expired) / 1e9)
    return tuple(expired)


def _delete(store: Store, product: Retirable) -> bool:
    """Delete the row and rename the files in one transaction, then delete the files.

    A process that is killed in between leaves files that `remove_orphans` deletes. Subband files are deleted in the
    transaction: in the incoming directory a renamed one would be a foreign file.
    """
    renamed: list[Path] = []

    def rename(paths: Sequence[Path]) -> None:
        if product.kind == SUBBAND_FILES:
            for path in paths:
                path.unlink(missing_ok=True)
            return
        for path in paths:
            with suppress(FileNotFoundError):  # deleted by hand: only the row remains
                renamed.append(path.rename(path.with_name(f"{path.name}{MARK}retired-{uuid.uuid4().hex[:8]}")))

    if not store.retention.retire(product, rename):
        return False
    for path in renamed:
        remove(path)
    return True


def _size_bytes(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):
            total += size_bytes(path)
    return total


def remove_orphans(config: StreamingConfig, store: Store) -> tuple[Path, ...]:
    """Remove orphaned temporary files and return their paths.

    A file is an orphan when nothing was written to it for the duration of a lease, no process holds its lock and, while
    a stage of its job runs, it is older than that run. A worker that was suspended meanwhile does not find its file,
    and fails; its lease has expired as well.

    Parameters
    ----------
    config : the configuration, with the directories of products and scratch files.
    store : store that shows the running stages and the duration of a lease.

    Returns
    -------
    the orphans; one that was a product moved aside is restored instead of removed, and returned as well.
    """
    removed = tuple(_find_orphans(config, store))
    for path in removed:
        if restore_replaced(final_path(path)):
            log.warning("%s: moved aside by a process that was killed; restored", final_path(path))
            continue
        log.warning("%s: left by a process that was killed; removed", path)
        remove(path)
    return removed


def finish_drops(config: StreamingConfig, store: Store) -> tuple[str, ...]:
    """Delete what is left of the campaigns whose deletion was interrupted by a kill, and return their names.

    Parameters
    ----------
    config : names the directory of products.
    store : store of the campaigns.
    """
    silent_since = store.database.clock() - store.database.rules.lease_s
    names = store.promotion.dropping(silent_since)
    for name in names:
        log.warning("campaign %s: its deletion was interrupted; continued", name)
        drop_campaign(store, config, name, "the service")
    return names


def _find_orphans(config: StreamingConfig, store: Store) -> Iterable[Path]:
    candidates = list(_temporary_paths(config))
    if not candidates:
        return
    started = {run.group: run.started_at for run in store.overview.snapshot(0).running}
    silent_since = time.time() - store.database.rules.lease_s
    for path in candidates:
        written_at, key = _last_written(path), _KEY.search(path.name)
        limit = min(silent_since, started.get(key[0], silent_since) if key else silent_since)
        if written_at is not None and written_at < limit and not is_locked(path):
            yield path


def _temporary_paths(config: StreamingConfig) -> Iterable[Path]:
    """Yield products under a temporary name, flag summaries, and the working directories of solves."""
    yield from config.scratch_dir.glob(f"*{MARK}*")
    for products in (config.output_dir, *(config.output_dir / CAMPAIGNS).glob("*/")):
        for directory in (products, products / "images", products / "mosaics", products / "calibration"):
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
