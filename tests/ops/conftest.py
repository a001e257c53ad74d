"""The files that deploy the service, and what the program itself reads and runs."""

from pathlib import Path

import pytest
from judges import require

from contimg.settings import QueueRules, Settings, StreamingConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def known_variables() -> frozenset[str]:
    """The environment variables that configure the deployment and the stream."""
    return frozenset(name for cls in (Settings, QueueRules, StreamingConfig) for name in cls.variables().values())


@pytest.fixture(scope="session")
def compose() -> None:
    """Skip where docker has no compose plugin."""
    require("docker compose")
