"""The beat that is a worker's health in a container, from a real worker whose broker goes away and comes back."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from waiting import until

from workers.broker import server_program


class Broker:
    """A server at an address that stays while the server comes and goes."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.come()

    def come(self) -> None:
        flags = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([str(server_program()), *flags], stdout=subprocess.DEVNULL)

    def go(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker() -> Iterator[Broker]:
    server = Broker()
    yield server
    server.go()


@pytest.mark.long
def test_beat_stops_while_the_broker_is_away(deployment, store, broker):
    beat = deployment.root / "beat"
    deployment.more |= {"CONTIMG_BROKER_URL": f"redis://127.0.0.1:{broker.port}/0", "CONTIMG_WORKER_BEAT": str(beat)}
    flags = ["-Q", "image", "-c", "1", "--disable-prefetch", "-E", "--without-gossip", "--without-mingle"]
    worker = deployment.start_process(
        sys.executable, "-m", "celery", "-A", "workers.app", "worker", *flags, log="worker.log"
    )

    def is_young(limit_s: float = 4.0) -> bool:
        return beat.exists() and time.time() - beat.stat().st_mtime < limit_s

    try:
        until(is_young, 30, "the worker beats")
        touched_at = beat.stat().st_mtime
        until(lambda: beat.stat().st_mtime > touched_at, 6, "it beats again and again")
        broker.go()
        until(lambda: not is_young(6), 20, "without its broker it does not")
        broker.come()
        until(is_young, 40, "with its broker it does")
    finally:
        worker.kill()
        worker.wait()
