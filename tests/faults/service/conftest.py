"""Deployments with a broker and a PostgreSQL of their own."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import Deployment
from judges import postgresql_programs, require

from workers.broker import EmbeddedBroker

sys.path += [str(Path(__file__).parents[2] / name) for name in ("store", "workers")]

from postgres_server import PostgresServer


class Place(Deployment):
    """A deployment whose commands a test runs."""

    def contimg(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "contimg", *arguments]
        return subprocess.run(
            command, env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=timeout_s
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "incoming").mkdir()
    return Place(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(tmp_path / "broker-state")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    require("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="contimg-pg-"))
    server = PostgresServer(postgresql_programs(), directory)
    yield server
    server.stop()
    shutil.rmtree(directory)
