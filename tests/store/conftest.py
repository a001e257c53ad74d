"""A store on each database: SQLite in a file, PostgreSQL in a server of the tests' own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

from contimg.store import QueueRules, Store
from contimg.subbands import SubbandName

RULES = QueueRules(expected_subbands=4, min_subbands=3, max_attempts=3)
T0 = 1_771_802_271.0  # 2026-02-22T23:17:51


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
        return Path(f"/incoming/{SubbandName(T0 + 309 * group + shift_s, subband)}")

    def arrive(self, group: int, subband: int, *, shift_s: float = 0, size: int = 100, mtime: float = 1.0):
        path = self.path(group, subband, shift_s)
        return self.store.arrivals.register_file(path, size, mtime, SubbandName.parse(path))

    def whole_group(self, group: int = 0) -> str:
        for subband in range(self.store.database.rules.expected_subbands):
            arrival = self.arrive(group, subband)
        assert arrival.became_pending
        return arrival.file.group


class PostgresServer:
    """A private PostgreSQL on a Unix socket in a directory of its own; one new database for whoever asks."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self.binaries, self.directory = binaries, directory
        self._as_user: list[str] = []
        self._numbers = count()
        if os.geteuid() == 0:  # the server refuses to run as root
            user = next(one for one in ("postgres", "nobody") if one in {entry.pw_name for entry in pwd.getpwall()})
            shutil.chown(directory, user)
            self._as_user = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
        self._run("initdb", "-D", directory / "data", "-U", "contimg", "-A", "trust", "--no-sync", "-E", "UTF8")
        # Nothing here has to survive a power cut, so nothing waits for the disk.
        options = f"-c listen_addresses='' -k {directory} -c fsync=off -c synchronous_commit=off -c max_connections=100"
        log = directory / "log"
        self._run("pg_ctl", "-D", directory / "data", "-w", "-l", log, "-o", options, "start")

    def new_database(self) -> str:
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(
            host=str(self.directory), user="contimg", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return f"postgresql+psycopg://contimg@/{name}?host={self.directory}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.directory / "data", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_user, str(self.binaries / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    directory = Path(tempfile.mkdtemp(prefix="contimg-pg-"))
    server = PostgresServer(found[-1].parent, directory)
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a database may be made: a path or a URL, one that nobody has used."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "store.sqlite3")
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(clock: Clock) -> Iterator[Callable[..., Store]]:
    opened = []

    def opens(place: str, rules: QueueRules = RULES, clock: Callable[[], float] = clock) -> Store:
        opened.append(Store.open(place, rules, clock=clock))
        return opened[-1]

    yield opens
    for store in opened:
        store.close()


@pytest.fixture
def store(place: str, open_store: Callable[..., Store]) -> Store:
    return open_store(place)


@pytest.fixture
def telescope(store: Store) -> Telescope:
    return Telescope(store)
