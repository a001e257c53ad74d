"""Retention: deletion of products and records that are older than the rules allow."""

import logging
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg.files.staging import MARK, size_bytes
from contimg.instrument.time import DAY_S
from contimg.settings import RetentionRules
from contimg.store import Retirable, Store
from workers.housekeeping.orphans import delete_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExpiredProduct:
    """A product that was deleted, or would be in a dry run, and its size in bytes."""

    product: Retirable
    size_bytes: int


def delete_expired(store: Store, rules: RetentionRules, *, dry_run: bool = False) -> tuple[ExpiredProduct, ...]:
    """Delete the products that the rules do not keep, and events, samples and alerts past their age.

    Parameters
    ----------
    store : the store.
    rules : ages and numbers that are kept.
    dry_run : whether to delete nothing and only return what would be deleted.

    Returns
    -------
    tuple of ExpiredProduct
        The products, oldest first.
    """
    expired = []
    for product in store.retention.due(rules):
        size = _size_bytes(product.paths)
        if dry_run or _delete(store, product):
            expired.append(ExpiredProduct(product, size))
    if rules.keep_events_days and not dry_run:
        before = store.database.clock() - rules.keep_events_days * DAY_S
        for records in (store.events, store.metrics, store.alerts):
            records.prune(before)
    if expired and not dry_run:
        log.info("retention: deleted %d products, %.1f GB", len(expired), sum(row.size_bytes for row in expired) / 1e9)
    return tuple(expired)


def _delete(store: Store, product: Retirable) -> bool:
    """Delete the row and rename the files in one transaction, then delete the files.

    A process that is killed in between leaves files that `remove_orphans` deletes.
    """
    renamed: list[Path] = []

    def rename(paths: Sequence[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):  # deleted by hand: only the row remains
                renamed.append(path.rename(path.with_name(f"{path.name}{MARK}retired-{uuid.uuid4().hex[:8]}")))

    if not store.retention.retire(product, rename):
        return False
    for path in renamed:
        delete_path(path)
    return True


def _size_bytes(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):
            total += size_bytes(path)
    return total
