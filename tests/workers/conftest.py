"""A deployment of its own for each test, with the real broker, store and processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment

from contimg.simulation import SimulateOptions, simulate
from contimg.store import Store


@pytest.fixture
def store(deployment: Deployment) -> Iterator[Store]:
    opened = Store.open(deployment.config.queue_db)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def small_groups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """A calibrator's tile and a target's, 8 antennas and 48 channels, 2 MB each: paths by group."""
    directory = tmp_path_factory.mktemp("telescope")
    options = SimulateOptions(groups=2, antennas=8, channels=48, integrations=6, clock_spread=0, threads=1)
    return {tile.plan.group: sorted(tile.files.values()) for tile in simulate(options, directory)}
