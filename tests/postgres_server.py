"""A PostgreSQL of the tests' own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import psycopg
from judges import postgresql_programs, require

from contimg.store.tables import Base


class PostgresServer:
    """A private PostgreSQL on a Unix socket in a directory of its own; one new database for whoever asks."""

    def __init__(self, binaries: Path, directory: Path, listen: str = "") -> None:
        self.binaries, self.directory, self._listen = binaries, directory, listen
        self._as_user: list[str] = []
        self._numbers = count()
        if os.geteuid() == 0:  # the server refuses to run as root
            user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
            shutil.chown(directory, user)
            self._as_user = ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
        self._run("initdb", "-D", directory / "data", "-U", "contimg", "-A", "trust", "--no-sync", "-E", "UTF8")
        if listen:
            with (directory / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        self.start()

    def start(self) -> None:
        """Start the server if it does not run; nothing has to survive a power cut, so nothing waits for the disk."""
        if self.is_running:
            return
        options = (
            f"-c listen_addresses='{self._listen}' -k {self.directory} -c fsync=off -c synchronous_commit=off "
            "-c max_connections=100"
        )
        self._run("pg_ctl", "-D", self.directory / "data", "-w", "-l", self.directory / "log", "-o", options, "start")

    @property
    def is_running(self) -> bool:
        """Whether its first process lives; one that was killed and that nobody has waited for does not."""
        try:
            pid = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (OSError, IndexError, psutil.NoSuchProcess):
            return False

    def kill(self) -> None:
        """SIGKILL to the server's first process; its others notice and end."""
        os.kill(int((self.directory / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def new_database(self, encoding: str = "UTF8") -> str:
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(
            host=str(self.directory), user="contimg", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
        return f"postgresql+psycopg://contimg@/{name}?host={self.directory}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.directory / "data", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_user, str(self.binaries / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr


@contextmanager
def running_postgres(listen: str = "") -> Iterator[PostgresServer]:
    """Run a server in a temporary directory; skip the test where PostgreSQL is missing, fail it in CI."""
    require("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="contimg-pg-"))
    server = PostgresServer(postgresql_programs(), directory, listen)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)


def empty(url: str) -> None:
    """Take every row out of a PostgreSQL store."""
    names = ", ".join(Base.metadata.tables)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY")
