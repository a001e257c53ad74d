"""A clock that stands still, a telescope that only names files, and rules for groups of four."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from postgres_server import empty
from store_steps import register_file

from contimg.formats.uvh5.grouping import subband_file_name
from contimg.store import QueueRules, Store

RULES = QueueRules(expected_subbands=4, min_subbands=3, max_attempts=3)
T0 = 1_771_802_271.0  # 2026-02-22T23:17:51


def prepare_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the path or URL of a database with every table and no row, of the kind of the fixture's parameter."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("made_sqlite"), tmp_path / "store.sqlite3"))
    url: str = request.getfixturevalue("made_postgres")
    empty(url)
    return url


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self, now: float = T0 + 1000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Telescope:
    """Writes files into a store as the producer would: `arrive(group, subband)`."""

    store: Store

    def path(self, group: int, subband: int, shift_s: float = 0) -> Path:
        return Path(f"/incoming/{subband_file_name(T0 + 309 * group + shift_s, subband)}")

    def arrive(self, group: int, subband: int, *, shift_s: float = 0, size: int = 100, mtime: float = 1.0):
        path = self.path(group, subband, shift_s)
        return register_file(self.store, path, size, mtime)

    def whole_group(self, group: int = 0) -> str:
        for subband in range(self.store.database.rules.expected_subbands):
            arrival = self.arrive(group, subband)
        assert arrival.became_pending
        return arrival.file.group
