"""A store on each database, and a night of products on disk with two places, one of them a mounted directory."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archived_night import ArchivedNight
from deployment import Deployment
from store_play import Clock, prepare_location

from contimg.store import Store


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "store.sqlite3"
    Store.open(path).close()
    return path


@pytest.fixture(scope="session")
def made_postgres(postgres) -> str:
    url = postgres.new_database()
    Store.open(url).close()
    return url


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A SQLite file, or a PostgreSQL database for a test with the parameter `postgresql`."""
    request.param = getattr(request, "param", "sqlite")
    return prepare_location(request, tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def night(
    location: str, deployment: Deployment, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArchivedNight]:
    """Two tiles of a night with images, Measurement Sets and subband files, and the places `vault` and `attic`."""
    deployment.more["CONTIMG_QUEUE_DB"] = location
    made_night = ArchivedNight.make(deployment, clock)
    for name, value in deployment.environ.items():
        if name.startswith(("CONTIMG_", "PIPELINE_")):
            monkeypatch.setenv(name, value)
    yield made_night
    made_night.store.close()


@pytest.fixture
def flip() -> Callable[[Path], None]:
    """Change one byte of a file and keep its size and its times."""

    def change(path: Path) -> None:
        status, content = path.stat(), bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return change
