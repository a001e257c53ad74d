"""Two hosts on one machine: network namespaces on a bridge whose address has a broker and PostgreSQL."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workers.broker import server_program

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from postgres_server import PostgresServer

_NETWORK, _BRIDGE, _PORT = "10.231.78", "contimgbn", 6398
_NAMES = ("contimg-bench-a", "contimg-bench-b")


@dataclass(frozen=True)
class Hosts:
    """Names of the hosts, and the URLs of the broker and the database."""

    names: tuple[str, ...]
    broker_url: str
    database_url: str


def find_obstacle() -> str | None:
    """Return what is missing on this machine for two hosts, or None."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and ip"
    return None if _postgres() else "no PostgreSQL server here: apt-get install postgresql"


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Create two namespaces with a shared broker and database; remove everything at the end."""
    directory, binaries = Path(tempfile.mkdtemp(prefix="contimg-pg-")), _postgres()
    broker = server = None
    try:
        _connect()
        flags = ["--port", str(_PORT), "--bind", f"{_NETWORK}.1", "--protected-mode", "no", "--save", ""]
        broker = subprocess.Popen([str(server_program()), *flags], stdout=subprocess.DEVNULL)
        server = PostgresServer(binaries, directory, listen=f"{_NETWORK}.1")
        name = server.new_database().split("@/")[1].split("?")[0]
        yield Hosts(_NAMES, f"redis://{_NETWORK}.1:{_PORT}/0", f"postgresql+psycopg://contimg@{_NETWORK}.1/{name}")
    finally:
        if server is not None:
            server.stop()
        if broker is not None:
            broker.kill()
            broker.wait()
        shutil.rmtree(directory)
        for name in _NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", _BRIDGE], check=False, capture_output=True)


def _connect() -> None:
    _ip("link", "add", _BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
    _ip("link", "set", _BRIDGE, "up")
    for number, name in enumerate(_NAMES):
        _ip("netns", "add", name)
        _ip("link", "add", f"cbveth{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", f"cbveth{number}", "master", _BRIDGE, "up")
        _ip("-n", name, "addr", "add", f"{_NETWORK}.{number + 2}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _postgres() -> Path | None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return programs[-1].parent if programs else None
