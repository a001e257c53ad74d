"""A store on each database: SQLite in a file, PostgreSQL in a server of the tests' own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from store_play import RULES, Clock, Telescope, prepare_location

from contimg.store import QueueRules, Store


@pytest.fixture(params=["sqlite", "postgresql"])
def untouched(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database may be made: a path or a URL, one that nobody has used."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "store.sqlite3")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "store.sqlite3"
    Store.open(path).close()
    return path


@pytest.fixture(scope="session")
def made_postgres(postgres: PostgresServer) -> str:
    url = postgres.new_database()
    Store.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with every table and no row: a path or a URL. Migrating one for each test would take long."""
    return prepare_location(request, tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(clock: Clock) -> Iterator[Callable[..., Store]]:
    opened = []

    def opens(location: str, rules: QueueRules = RULES, clock: Callable[[], float] = clock) -> Store:
        opened.append(Store.open(location, rules, clock=clock))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


@pytest.fixture
def store(location: str, open_store: Callable[..., Store]) -> Store:
    return open_store(location)


@pytest.fixture
def telescope(store: Store) -> Telescope:
    return Telescope(store)
