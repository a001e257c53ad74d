"""Fixtures of the deployment tests: the checkout and the variables of the settings."""

from pathlib import Path

import pytest
from judges import require

from contimg.settings import QueueRules, Settings, StreamingConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def known_variables() -> frozenset[str]:
    """Return the environment variables of the settings and the configuration."""
    return frozenset(name for cls in (Settings, QueueRules, StreamingConfig) for name in cls.variables().values())


@pytest.fixture(scope="session")
def compose() -> None:
    """Skip where docker has no compose plugin."""
    require("docker compose")
