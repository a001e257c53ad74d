"""URLs of the broker: each spelling works with every client, or is refused in one line without its password."""

import logging
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import redis
from celery import Celery
from limits.storage import storage_from_string
from postgres_server import PostgresServer
from waiting import until

from contimg.common.errors import ContimgError, Misconfigured, Transient, mask_secrets
from contimg.settings import Settings, shown
from contimg.settings.broker import BrokerAddress
from contimg.simulation import SimulateOptions, simulate
from contimg.store import Store
from contimg.store.engine import url_of
from workers.broker import EmbeddedBroker, broker_error, check_answers, server_program
from workers.celery_settings import celery_settings
from workers.housekeeping.alerts import check_broker_is_own
from workers.logs import JsonFormatter, TextFormatter

SECRET = "S3cret"


class TlsProxy:
    """Ends TLS in front of a broker that does not speak it."""

    def __init__(self, certificate: Path, key: Path, port: int) -> None:
        self._port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            outer = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        inner = socket.create_connection(("127.0.0.1", self._port))
        outer.settimeout(0.05)
        inner.settimeout(0.05)
        while True:
            for source, sink in ((outer, inner), (inner, outer)):
                try:
                    content = source.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    content = b""
                if not content:
                    outer.close()
                    inner.close()
                    return
                try:
                    sink.sendall(content)
                except OSError:
                    return


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


@pytest.fixture
def tls(broker: EmbeddedBroker, certificate: tuple[Path, Path]) -> Iterator[tuple[str, Path]]:
    """The URL of a broker behind TLS, without options, and its certificate."""
    endpoint = broker.start()
    proxy = TlsProxy(*certificate, endpoint.port)
    yield f"rediss://:{endpoint.password}@localhost:{proxy.port}/0", certificate[0]
    proxy.close()


def check_every_client(url: str) -> None:
    """A message sent by Celery is counted by redis-py and by the panel's counter of requests."""
    address = BrokerAddress.parse(url)
    check_answers(address.redis_url)
    app = Celery("test", set_as_current=False)
    app.conf.update(celery_settings(url))
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare(queue="convert")
        app.send_task("contimg.convert", (1,), connection=connection, priority=6)
    with redis.Redis.from_url(address.redis_url) as client:
        assert client.llen("contimg:convert\x06\x166") == 1
        client.delete("contimg:convert\x06\x166")
    assert storage_from_string(address.limits_url).check()


@pytest.mark.parametrize("spelling", ["required", "CERT_REQUIRED", "none", "CERT_NONE", None])
def test_tls_in_both_spellings(tls: tuple[str, Path], spelling: str | None) -> None:
    url, cert = tls
    options = f"ssl_ca_certs={cert}" if spelling is None else f"ssl_cert_reqs={spelling}&ssl_ca_certs={cert}"
    check_every_client(f"{url}?{options}")


def test_untrusted_certificate_is_named(tls: tuple[str, Path]) -> None:
    with pytest.raises(Transient, match="ssl_ca_certs"):
        check_answers(BrokerAddress.parse(tls[0]).redis_url)


@pytest.mark.parametrize("form", ["unix://{user}{path}?db=3", "redis+socket://{user}{path}?virtual_host=3"])
@pytest.mark.parametrize("password", ["", "p#/@: %x"])
def test_unix_socket(tmp_path: Path, form: str, password: str) -> None:
    path = tmp_path / "redis.sock"
    command = [server_program(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path]
    server = subprocess.Popen([*command, *(["--requirepass", password] if password else [])], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            assert server.poll() is None
        user = f":{quote(password, safe='')}@" if password else ""
        check_every_client(form.format(user=user, path=path))
    finally:
        server.terminate()
        server.wait(10)


def test_ipv6_address(tmp_path: Path) -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")
    command = [server_program(), "--port", str(port), "--bind", "::1", "--save", "", "--dir", tmp_path]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(host="::1", port=port) as client:
            until(lambda: answers(client), 20, "the server answers")
        check_every_client(f"redis://[::1]:{port}/2")
    finally:
        server.terminate()
        server.wait(10)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False


def test_password_with_special_characters(broker: EmbeddedBroker) -> None:
    endpoint = broker.start()
    with redis.Redis.from_url(endpoint.url) as client:
        client.config_set("requirepass", "Ro3x<16%3/S#HO@54:?")
    check_every_client(f"redis://:Ro3x%3C16%253%2FS%23HO%4054%3A%3F@127.0.0.1:{endpoint.port}/0")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", ("localhost", 6379, 0)),
        ("redis://host", ("host", 6379, 0)),
        ("valkey://host:7000/5", ("host", 7000, 5)),
        ("redis://host?db=4", ("host", 6379, 4)),
        ("redis://[::1]:7000/1", ("::1", 7000, 1)),
    ],
)
def test_host_port_database(url: str, address: tuple[str, int, int]) -> None:
    parsed = BrokerAddress.parse(url)
    assert (parsed.host, parsed.port, parsed.database) == address
    assert BrokerAddress.parse(parsed.redis_url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:Ro3x<16%3/{SECRET}#HO@54@127.0.0.1:6379/0",
        f"redis://:pass#word{SECRET}@127.0.0.1:6379/0",
        f"redis://:{SECRET}/x@127.0.0.1:6379/0",
        f"redis://:{SECRET}@x@127.0.0.1:6379/0",
        f"redis://:a:{SECRET}@127.0.0.1:6379/0",
        f"redis://:{SECRET}?x@127.0.0.1:6379/0",
        f"redis://:{SECRET} x@127.0.0.1:port/0",
        f"redis://user:{SECRET}@127.0.0.1:6379/zero",
        f"redis://user:{SECRET}@127.0.0.1:6379/0?ssl_cert_reqs=none",
        f"rediss://user:{SECRET}@127.0.0.1:6379/0?ssl_cert_reqs=maybe",
        f"rediss://user:{SECRET}@127.0.0.1:6379/0?ssl_ca_certs=/nowhere.pem",
        f"redis://user:{SECRET}@127.0.0.1:6379/0?timeout=3",
        f"unix://:{SECRET}@relative/path",
        f"sentinel://:{SECRET}@127.0.0.1:26379/0",
        f"amqp://guest:{SECRET}@localhost//",
        f"127.0.0.1:6379/{SECRET}@x",
    ],
)
def test_wrong_url_is_refused_when_settings_are_read(url: str) -> None:
    with pytest.raises(Misconfigured, match="CONTIMG_BROKER_URL") as refusal:
        Settings.from_environment({"CONTIMG_BROKER_URL": url})
    text = str(refusal.value)
    assert "\n" not in text
    assert SECRET not in text or "://" not in url


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://contimg:p@ss:w/{SECRET}#50%x@127.0.0.1:1/contimg",
        f"postgresql+psycopg://contimg:wrong@{SECRET}@127.0.0.1:1/contimg",
        f"postgresql://contimg:{SECRET}@127.0.0.1:port/contimg",
        f"mysql://contimg:{SECRET}@127.0.0.1/contimg",
        f"postgresql://contimg:{SECRET}@127.0.0.1:1/contimg",
    ],
)
def test_database_password_is_not_shown(deployment, url: str) -> None:
    with pytest.raises(ContimgError, match="queue_db") as refusal:
        Store.open(url)
    assert SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    deployment.more["CONTIMG_QUEUE_DB"] = url
    outcome = deployment.contimg("config", "check")
    assert SECRET not in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_ipv6_host_of_database() -> None:
    url = url_of("postgresql://contimg:x@[::1]:5433/contimg")
    assert (url.host, url.port) == ("::1", 5433)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"at redis://:{SECRET}@h:1/0, then {SECRET[:1]}", "at redis://:***@h:1/0, then S"),
        (f"redis://u:a@{SECRET}#/@h:1/0: no", "redis://u:***@h:1/0: no"),
        (f"postgresql://h/db?user=u&password={SECRET}", "postgresql://h/db?user=u&password=***"),
        ("redis://host:6379/0: mail a@b", "redis://host:6379/0: mail a@b"),
    ],
)
def test_mask_secrets(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
    assert str(Transient(text)) == masked


def test_secrets_are_masked_at_every_sink(deployment, capfd: pytest.CaptureFixture[str]) -> None:
    """Log lines and tracebacks, events, alerts, errors of jobs, refused settings, and what the API returns."""
    text = f"redis://:{SECRET}@host/0"
    try:
        raise ValueError(text)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "at %s", (text,), sys.exc_info())
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record)
        assert "redis://:***@host/0" in line
        assert SECRET not in line
    store = Store.open(deployment.config.queue_db)
    store.events.add(text)
    store.alerts.update("stall", text)
    assert {event.text for event in store.events.after(0)} == {"redis://:***@host/0"}
    assert [alert.text for alert in store.alerts.active()] == ["redis://:***@host/0"]
    store.close()
    with pytest.raises(Misconfigured, match="CONTIMG_TOKEN") as refusal:
        Settings.build({"token": [SECRET]}, Settings.variables())
    assert SECRET not in str(refusal.value)
    config = deployment.config.model_copy(update={"queue_db": f"postgresql://u:a@{SECRET}@host/db"})
    assert shown(config)["queue_db"] == "postgresql://u:***@host/db"


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("READONLY You can't write against a read only replica.", "replica"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
        ("MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.", "disk"),
        ("LOADING Redis is loading the dataset in memory", "wait"),
    ],
)
def test_refusal_of_a_broker_gives_reason_and_remedy(reply: str, word: str) -> None:
    error = broker_error(f"redis://:{SECRET}@host:1/0", redis.exceptions.ResponseError(reply))
    assert isinstance(error, Transient)
    assert word in str(error)
    assert SECRET not in str(error)


@pytest.mark.long
def test_stream_runs_over_tls(deployment, tls: tuple[str, Path], tmp_path: Path) -> None:
    """`contimg run` with a certificate authority of the site: a group becomes an image, and no log has a traceback."""
    url, cert = tls
    deployment.more |= {"CONTIMG_BROKER_URL": f"{url}?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={cert}",
                   "CONTIMG_CALIBRATE_SOLVE": "no", "CONTIMG_CALIBRATE_FLAG": "no"}  # fmt: skip
    options = SimulateOptions(groups=1, antennas=8, channels=48, integrations=6, clock_spread=0, threads=1)
    (tile,) = simulate(options, tmp_path / "telescope")
    command = [sys.executable, "-m", "contimg", "run", "--no-web"]
    with (tmp_path / "run.log").open("wb") as log:
        stream = subprocess.Popen(command, env=deployment.environ, cwd=tmp_path, stdout=log, stderr=log)
    try:
        for path in tile.files.values():
            shutil.move(path, tmp_path / "incoming" / path.name)
        store = Store.open(deployment.config.queue_db)
        until(lambda: store.products.images(1), 120, "an image")
        store.close()
    finally:
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
    logs = "".join(path.read_text() for path in (tmp_path / "state" / "logs").iterdir())
    assert "Traceback" not in logs
    assert BrokerAddress.parse(url).password not in logs


def test_two_services_on_one_database_are_reported(deployment, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Both have the alert with the other's state directory, until one has a database of its own."""
    url = broker.start().url
    services = []
    for name in ("first", "second"):
        settings = Settings.build({"state_dir": tmp_path / name, "broker_url": url})
        services.append((Store.open(tmp_path / name / "store.sqlite3"), settings))
    for _ in range(2):
        for store, settings in services:
            check_broker_is_own(store, settings)
    for (store, _), (_, other_settings) in zip(services, reversed(services), strict=True):
        (alert,) = store.alerts.active()
        assert str(other_settings.state_dir) in alert.text
        assert urlsplit(url).password not in alert.text
    with redis.Redis.from_url(url) as client:
        client.delete("contimg:services")  # as after two minutes of silence
    store, _ = services[1]
    check_broker_is_own(store, Settings.build({"state_dir": tmp_path / "second", "broker_url": url[:-1] + "1"}))
    check_broker_is_own(*services[0])
    assert [store.alerts.active() for store, _ in services] == [(), ()]
    assert services[0][0].activity.store_identity() == services[0][0].activity.store_identity()
    for store, _ in services:
        store.close()


def test_unexpected_error_of_a_command_shows_no_password(deployment) -> None:
    """A traceback, too, is printed without the passwords in the messages of its exceptions."""
    program = (
        "import sys, contimg.cli as cli\n"
        "def fail(*_, **__): raise RuntimeError(sys.argv[1])\n"
        "cli.contimg.main = fail\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", program, f"redis://:{SECRET}@host/0"]
    done = subprocess.run(command, env=deployment.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "RuntimeError: redis://:***@host/0" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.long
def test_password_among_the_options_of_a_database_url(deployment, postgres: PostgresServer) -> None:
    deployment.more["CONTIMG_QUEUE_DB"] = f"{postgres.new_database()}&password={SECRET}"
    for command in (["db", "upgrade"], ["db", "status"], ["doctor"], ["config", "check"], ["config", "history"]):
        outcome = deployment.contimg(*command)
        assert SECRET not in outcome.stdout + outcome.stderr, command
