"""A deployment of its own for each test, with the real broker, store and processes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment

from contimg.simulation import SimulateOptions, simulate
from contimg.store import Store


class Place(Deployment):
    """A deployment whose commands and processes a test starts."""

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "contimg", *arguments]

    def contimg(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=timeout_s
        )

    def start(self, *command: str, log: str) -> subprocess.Popen[bytes]:
        with (self.root / log).open("wb") as sink:
            return subprocess.Popen(
                command, env=self.environ, cwd=self.root, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "incoming").mkdir()
    return Place(tmp_path)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = Store.open(place.config.queue_db)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def small_groups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """A calibrator's tile and a target's, 8 antennas and 48 channels, 2 MB each: paths by group."""
    directory = tmp_path_factory.mktemp("telescope")
    options = SimulateOptions(groups=2, antennas=8, channels=48, integrations=6, clock_spread=0, threads=1)
    return {tile.plan.group: sorted(tile.files.values()) for tile in simulate(options, directory)}
