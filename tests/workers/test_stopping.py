"""A worker under REMAP_SIGTERM=SIGQUIT, as containers and units run it, told to stop in the middle of a stage."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from store_steps import register_file
from waiting import until

from contimg.store import Outcome, Stage, State
from workers.broker import EmbeddedBroker

FLAGS = ("-Q", "convert", "-c", "1", "--disable-prefetch", "-E", "--without-gossip", "--without-mingle")
SEND = "import sys; from contimg.store import Stage; from workers.scheduling.messages import send; send(sys.argv[1])"


@pytest.fixture
def worker(deployment) -> Iterator[subprocess.Popen[bytes]]:
    broker = EmbeddedBroker(deployment.root / "elsewhere")
    deployment.more |= {"CONTIMG_BROKER_URL": broker.start().url, "REMAP_SIGTERM": "SIGQUIT"}
    process = deployment.start_process(
        sys.executable, "-m", "celery", "-A", "workers.app", "worker", *FLAGS, log="worker.log"
    )
    yield process
    process.kill()
    process.wait()
    broker.stop()


def told_to_stop_during_a_stage(deployment, store, worker, files) -> str:
    for path in files.values():
        arrival = register_file(store, path, path.stat().st_size, 1.0)
    group = arrival.file.group
    subprocess.run([sys.executable, "-c", SEND, group], env=deployment.environ, check=True, timeout=120)
    until(lambda: store.files.group(group).state is State.IN_PROGRESS, 40, "the stage is under way")
    worker.send_signal(signal.SIGTERM)
    return group


def test_stop_waits_for_the_stage(deployment, store, worker, drift_sim_files):
    group = told_to_stop_during_a_stage(deployment, store, worker, drift_sim_files)
    worker.wait(120)
    ended_at = time.time()
    (run,) = store.jobs.runs(group)
    assert run.outcome is Outcome.COMMITTED
    assert ended_at - run.ended_at < 20, "Celery's own wait is 30 s"
    assert store.files.group(group).stage is Stage.CALIBRATE
    count = "from workers.scheduling.messages import Stage, backlog; print(backlog()[Stage.CALIBRATE])"
    shown = subprocess.run(
        [sys.executable, "-c", count], env=deployment.environ, check=True, capture_output=True, text=True
    )
    assert shown.stdout.strip() == "1", "the chain waits for its worker"
