"""A broker that answers and takes no messages: a read-only replica, a full memory, a disk that it cannot save to."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from waiting import until

from contimg.common.errors import Transient
from contimg.store import Stage, Store
from workers.broker import EmbeddedBroker, check_answers
from workers.inspection import CeleryInspector
from workers.logs import BrokerErrors, RepeatedSteps

REFUSE: dict[str, tuple[Callable[[redis.Redis], object], Callable[[redis.Redis], object]]] = {
    "replica": (lambda client: client.replicaof("127.0.0.1", 1), lambda client: client.replicaof("NO", "ONE")),
    "memory": (lambda client: client.config_set("maxmemory", 1), lambda client: client.config_set("maxmemory", 0)),
}
SEND_TWICE = """
import sys
from contimg.common.errors import Transient
from contimg.store import Stage
from workers.scheduling import messages
for line in sys.stdin:
    try:
        messages.send(7, Stage.CONVERT)
        print("sent", messages.backlog()[Stage.CONVERT], flush=True)
    except Transient as error:
        print(error, flush=True)
"""


@pytest.fixture
def url(broker: EmbeddedBroker, deployment) -> str:
    deployment.more["CONTIMG_BROKER_URL"] = broker.start().url
    return deployment.more["CONTIMG_BROKER_URL"]


@pytest.mark.parametrize("state", REFUSE)
def test_doctor_inspection_and_senders_give_the_reason(deployment, url: str, state: str) -> None:
    refuse, accept = REFUSE[state]
    sender = subprocess.Popen(
        [sys.executable, "-c", SEND_TWICE],
        env=deployment.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def send() -> str:
        sender.stdin.write("\n")
        sender.stdin.flush()
        return sender.stdout.readline()

    with redis.Redis.from_url(url) as client:
        assert send() == "sent 1\n"
        refuse(client)
        with pytest.raises(Transient, match=state):
            check_answers(url)
        assert state in (CeleryInspector().inspect(url).error or "")
        assert [state in send() for _ in range(3)] == [True] * 3
        accept(client)
        assert send() == "sent 2\n"
    sender.communicate(timeout=30)
    assert sender.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("state", REFUSE)
def test_worker_waits_with_one_line_and_goes_on(deployment, url: str, tmp_path: Path, state: str) -> None:
    refuse, accept = REFUSE[state]
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", str(Stage.CONVERT), "-c", "1",
               "-n", "convert@test", "--without-gossip", "--without-mingle"]  # fmt: skip
    log = tmp_path / "worker.log"
    Store.open(deployment.config.queue_db).close()
    with log.open("wb") as sink:
        worker = subprocess.Popen(command, env=deployment.environ, cwd=tmp_path, stdout=sink, stderr=sink)
    try:
        with redis.Redis.from_url(url) as client:
            until(lambda: "ready" in log.read_text(), 60, "the worker is ready")
            refuse(client)
            time.sleep(15.0)  # two rounds of what the worker does every ten seconds
            assert worker.poll() is None
            accept(client)
        program = "from workers.scheduling import messages; messages.send(7)"
        subprocess.run([sys.executable, "-c", program], env=deployment.environ, check=True, timeout=60)
        until(lambda: "not in the store" in log.read_text(), 60, "the worker took a message")
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    text = log.read_text()
    assert "Traceback" not in text
    assert sum("Cannot connect" in line for line in text.splitlines()) <= 2


def test_same_error_is_logged_once_though_rounds_in_between_succeed(caplog: pytest.LogCaptureFixture) -> None:
    """The reconciler has nothing to send while the producer has taken the only job; then it fails again."""
    steps, errors = RepeatedSteps(), iter(["full", None, "full", None, None, "full", "away", "full"])

    def step() -> None:
        if error := next(errors):
            raise Transient(error)

    for _ in range(8):
        steps.run("reconciliation", step)
    logged = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [line.split(": ")[1].split(";")[0] for line in logged] == ["full", "away", "full"]


def test_connection_errors_of_a_worker_are_logged_once_until_it_connects() -> None:
    filter_ = BrokerErrors()

    def shown(text: str, name: str = "celery.worker.consumer.consumer") -> str | None:
        record = logging.LogRecord(name, logging.ERROR, "", 0, text, (), None)
        return record.getMessage() if filter_.filter(record) else None

    away = "consumer: Cannot connect to redis://h:1/0: Connection refused."
    assert shown(f"{away}\nTrying again in 2.00 seconds... (1/100)\n") == away
    assert shown(f"{away}\nTrying again in 4.00 seconds... (2/100)\n") is None
    assert shown("Received unregistered task\nThe message is discarded") is not None
    assert shown("Connected to redis://h:1/0", "celery.worker.consumer.connection") is not None
    assert shown(f"{away}\nTrying again in 2.00 seconds... (1/100)\n") == away
    assert shown(away, "workers.producer") == away
