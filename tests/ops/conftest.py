"""The files that deploy the service, and what the program itself reads and runs."""

from dataclasses import fields
from pathlib import Path

import pytest
from judges import require

from contimg.options import variable_name
from contimg.settings.config import PREFIX, QueueRules, Settings, StreamingConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def known_variables() -> frozenset[str]:
    """The environment variables that configure the deployment and the stream."""
    names = {variable_name(PREFIX, spec) for cls in (Settings, QueueRules) for spec in fields(cls)}
    return frozenset(names | {f"{PREFIX}_{key.upper()}" for key in StreamingConfig.model_fields})


@pytest.fixture(scope="session")
def compose() -> None:
    """Skip where docker has no compose plugin."""
    require("docker compose")
