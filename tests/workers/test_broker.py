import os
import re
import signal
import socket
import time

import pytest
import redis
from waiting import until

from contimg.common.errors import Misconfigured, Transient, mask_secrets
from contimg.settings import Settings
from workers import broker
from workers.broker import EmbeddedBroker, check_answers, read_endpoint, url_in_force


@pytest.fixture
def embedded(tmp_path):
    server = EmbeddedBroker(tmp_path)
    yield server
    server.stop()


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def test_password_is_required(embedded):
    endpoint = embedded.start()
    check_answers(endpoint.url)
    with pytest.raises(Misconfigured, match=rf"127\.0\.0\.1:{endpoint.port}\b.*password"):
        check_answers(f"redis://:wrong@127.0.0.1:{endpoint.port}/0")


def test_broker_listens_on_loopback_only(embedded):
    port = embedded.start().port
    elsewhere = [row[4][0] for row in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)]
    for address in elsewhere:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=2)


def test_broker_configuration(embedded):
    settings = client(embedded.start().url).config_get()
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"


def test_broker_files_are_private(embedded, tmp_path):
    embedded.start()
    assert (tmp_path / "broker").stat().st_mode & 0o077 == 0
    for name in ("endpoint.json", "server.conf"):
        assert (tmp_path / "broker" / name).stat().st_mode & 0o077 == 0


def test_messages_survive_kill(embedded):
    before = embedded.start()
    client(before.url).lpush("queue", "message")
    time.sleep(1.2)  # the file is flushed every second
    os.kill(embedded.process.pid, signal.SIGKILL)
    until(lambda: not embedded.is_running, 5, "it is dead")
    assert not before.is_live
    after = embedded.start()
    assert after.url == before.url
    assert client(after.url).lrange("queue", 0, -1) == ["message"]


def test_messages_survive_restart_by_other_process(embedded, tmp_path):
    client(embedded.start().url).lpush("queue", "message")
    embedded.stop()
    second = EmbeddedBroker(tmp_path)
    try:
        assert client(second.start().url).lrange("queue", 0, -1) == ["message"]
    finally:
        second.stop()


def test_second_broker_is_refused(embedded, tmp_path):
    embedded.start()
    with pytest.raises(Misconfigured, match=re.escape(str(tmp_path))):
        EmbeddedBroker(tmp_path).start()


def test_taken_port_is_avoided(embedded):
    before = embedded.start()
    embedded.stop()
    with socket.create_server(("127.0.0.1", before.port)):
        assert embedded.start().port != before.port


def test_url_in_force(embedded, tmp_path):
    """The configured one, else the embedded one while it lives, else the usual place."""
    environ = {"PIPELINE_STATE_DIR": str(tmp_path)}
    settings = Settings.from_environment(environ)
    assert url_in_force(settings) == broker.LAST_RESORT
    endpoint = embedded.start()
    assert url_in_force(settings) == endpoint.url
    assert (
        url_in_force(Settings.from_environment({**environ, "CONTIMG_BROKER_URL": "redis://far:1/0"}))
        == "redis://far:1/0"
    )
    embedded.stop()
    assert url_in_force(settings) == broker.LAST_RESORT


def test_damaged_endpoint_file_is_ignored(tmp_path):
    (tmp_path / "broker").mkdir()
    (tmp_path / "broker" / "endpoint.json").write_text('{"port": 1}')
    assert read_endpoint(tmp_path) is None


def test_absent_broker_is_one_line_without_password():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port, nobody answers
        url = f"redis://:secret@127.0.0.1:{closed.getsockname()[1]}/0"
        with pytest.raises(Transient, match=r"redis://.*127\.0\.0\.1:\d+") as raised:
            check_answers(url)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_url_is_misconfigured():
    with pytest.raises(Misconfigured, match="redis://host:port/0"):
        Settings.from_environment({"CONTIMG_BROKER_URL": "amqp://localhost"})


def test_password_is_masked():
    assert mask_secrets("redis://:abc@host:1/0") == "redis://:***@host:1/0"
    assert mask_secrets("redis://host:1/0") == "redis://host:1/0"


def test_failed_start_gives_last_log_line(tmp_path, monkeypatch):
    program = tmp_path / "server"
    program.write_text("#!/bin/sh\necho 'no room for the append-only file'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(broker, "server_program", lambda: program)
    with pytest.raises(Transient, match=r"no room for the append-only file.*server\.log"):
        EmbeddedBroker(tmp_path / "state").start()
