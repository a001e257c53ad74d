"""Retention: what is older than the rules keep goes, product by product; a dry run only says what would."""

import logging
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg.files.staging import MARK, size_bytes
from contimg.instrument.time import DAY_S
from contimg.settings import RetentionRules
from contimg.store import Retirable, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retired:
    """One product that went, or would go in a dry run, and how many bytes that frees."""

    product: Retirable
    bytes: int


def retire(store: Store, rules: RetentionRules, *, dry_run: bool = False) -> tuple[Retired, ...]:
    """Let everything that is due go; returns it. Events and chart numbers past their time are forgotten as well."""
    gone = []
    for one in store.retention.due(rules):
        size = _size(one.paths)
        if not dry_run and not _go(store, one):
            continue
        gone.append(Retired(one, size))
    if rules.keep_events_days and not dry_run:
        before = store.database.clock() - rules.keep_events_days * DAY_S
        store.events.prune(before)
        store.metrics.prune(before)
        store.alerts.prune(before)
    if gone and not dry_run:
        log.info("retention: %d products, %.1f GB", len(gone), sum(one.bytes for one in gone) / 1e9)
    return tuple(gone)


def _go(store: Store, one: Retirable) -> bool:
    """Row and names go together; the bytes after them. A kill in between leaves what the sweep removes."""
    unnamed: list[Path] = []

    def unname(paths: Sequence[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):  # somebody deleted it by hand: then only the row is left to go
                unnamed.append(path.rename(path.with_name(f"{path.name}{MARK}retired-{uuid.uuid4().hex[:8]}")))

    if not store.retention.retire(one, unname):
        return False
    for path in unnamed:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return True


def _size(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):
            total += size_bytes(path)
    return total
