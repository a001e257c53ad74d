"""Workers are drained, taken back and made larger while they run, by the commands that the documentation gives."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from store_steps import register_file
from waiting import until

from contimg.store import Stage, State, Store
from workers.broker import EmbeddedBroker

CELERY = [sys.executable, "-m", "celery", "-A", "workers.app"]
FLAGS = ["--disable-prefetch", "-E", "--without-gossip", "--without-mingle"]
SEND = "import sys; from workers.scheduling.messages import send\nfor group in sys.argv[1:]: send(group)"
# Loaded by every Python process of the worker: a process that runs a stage waits, before it writes into the products
# directory, until two processes have come so far.
BARRIER = """
import os, pathlib, sys, time

def wait(event, arguments):
    if event == "os.mkdir" and str(arguments[0]) == os.environ["CONTIMG_OUTPUT_DIR"]:
        arrived = pathlib.Path(os.environ["BARRIER_DIR"])
        (arrived / str(os.getpid())).touch()
        deadline = time.monotonic() + 100
        while len(list(arrived.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)

if any("spawn" in word for word in sys.orig_argv):
    sys.addaudithook(wait)
"""
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def worker(deployment) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a worker for conversions with the flags given, and waits until it listens."""
    broker, started = EmbeddedBroker(deployment.root / "broker state"), []
    deployment.more |= {"CONTIMG_BROKER_URL": broker.start().url, "OMP_NUM_THREADS": "1"}

    def start(*flags: str) -> subprocess.Popen[bytes]:
        started.append(
            deployment.start_process(
                *CELERY, "worker", "-Q", "convert", "-n", "convert@%h", *flags, *FLAGS, log="w.log"
            )
        )
        until(lambda: b"ready" in (deployment.root / "w.log").read_bytes(), 40, "the worker is ready")
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    broker.stop()


@pytest.fixture
def groups(deployment, store, small_groups) -> list[str]:
    """Two groups that wait for their conversion."""
    for files in small_groups.values():
        for path in files:
            copy = Path(shutil.copy(path, deployment.incoming))
            register_file(store, copy, path.stat().st_size, 1.0)
    return list(small_groups)


def control(deployment, *words: str) -> None:
    target = ["-d", f"convert@{os.uname().nodename}"]
    done = subprocess.run(
        [*CELERY, "control", *words, *target], env=deployment.environ, cwd=deployment.root, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stdout


def send(deployment, *groups: str) -> None:
    subprocess.run(
        [sys.executable, "-c", SEND, *groups], env=deployment.environ, cwd=deployment.root, check=True, timeout=60
    )


def pool(process: subprocess.Popen[bytes]) -> int:
    """How many processes run stages; one that has ended and that nobody has waited for yet is none."""
    lines = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):
            lines.append(" ".join(child.cmdline()))
    return sum("billiard.spawn" in line or "spawn_main" in line for line in lines)


def is_converted(store: Store, group: str) -> bool:
    return store.files.group(group).stage is not Stage.CONVERT


@pytest.mark.long
def test_drained_worker_takes_nothing_until_readded(deployment, store, worker, groups):
    worker("-c", "1")
    control(deployment, "cancel_consumer", "convert")
    send(deployment, groups[0])
    time.sleep(3)
    assert store.files.group(groups[0]).state is State.PENDING
    assert store.jobs.runs(groups[0]) == ()
    control(deployment, "add_consumer", "convert")
    until(lambda: is_converted(store, groups[0]), 40, "the group is converted")


@pytest.mark.long
def test_worker_grows_and_shrinks(deployment, store, worker, groups):
    process = worker("-c", "1")
    before = pool(process)
    control(deployment, "pool_grow", "1")
    until(lambda: pool(process) == before + 1, 20, "one more process")
    send(deployment, *groups)
    until(lambda: all(is_converted(store, group) for group in groups), 40, "both groups are converted")
    owners = {run.owner for group in groups for run in store.jobs.runs(group)}
    assert len(owners) == 2, "by two processes"
    control(deployment, "pool_shrink", "1")
    until(lambda: pool(process) == before, 20, "one fewer again")


@pytest.mark.long
def test_autoscaled_worker_grows_with_its_queue(deployment, store, worker, groups):
    code, arrived = deployment.root / "code", deployment.root / "arrived"
    code.mkdir()
    arrived.mkdir()
    (code / "sitecustomize.py").write_text(BARRIER)
    deployment.more |= {"PYTHONPATH": str(code), "BARRIER_DIR": str(arrived)}
    process = worker("--autoscale=2,1")
    before = pool(process)
    send(deployment, *groups)
    until(lambda: pool(process) == before + 1, 20, "one more process")
    until(lambda: all(is_converted(store, group) for group in groups), 40, "both groups are converted")
    assert len({run.owner for group in groups for run in store.jobs.runs(group)}) == 2
    assert len(list(arrived.iterdir())) == 2
