"""A worker process frozen past its lease and thawed: what it still writes is in a copy that never gets a name."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store_steps import register_file
from waiting import until

from contimg.common.files.staging import temporaries
from contimg.settings import queue_rules
from contimg.store import Outcome, Stage, State, Store
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext
from workers.housekeeping.cleanup import remove_orphans

ROOT = Path(__file__).parents[2]
TURN = """
import sys
from contimg.store import Stage
from workers.execution import stages
from workers.execution.tasks import stage_context
from workers.execution.attempt import execute_stage
stages.load(Stage(sys.argv[1]))
print("ready", flush=True)
print(execute_stage(stage_context(), Stage(sys.argv[1]), sys.argv[2]), flush=True)
"""
LEASE_S = 6.0  # a busy machine renews it late


@pytest.fixture
def context(deployment, monkeypatch) -> Iterator[StageContext]:
    deployment.more |= {"CONTIMG_LEASE_S": f"{LEASE_S:g}", "OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "256")
    store = Store.open(deployment.config.queue_db, queue_rules(deployment.config, deployment.environ))
    yield StageContext(deployment.config, store)
    store.close()


@pytest.fixture
def group(context, drift_sim_files) -> str:
    for path in drift_sim_files.values():
        arrival = register_file(context.store, path, path.stat().st_size, 1.0)
    execute_stage(context, Stage.CONVERT, arrival.file.group)
    return arrival.file.group


def contents(deployment: Path) -> dict[str, tuple[int, int, int]]:
    """Identity, size and last change of every file, but the locks that readers leave."""
    files = [path for path in sorted(deployment.rglob("*")) if path.is_file() and path.name != "table.lock"]
    return {
        str(path.relative_to(deployment)): (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }


def frozen_in(deployment, stage: Stage, group: str, began: Path, pattern: str) -> subprocess.Popen[str]:
    """A worker process in the middle of a stage, stopped as soon as what it writes has a temporary name.

    It is stopped while it does not hold the store's lock, which would stop this process too.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", TURN, stage, group], env={**deployment.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 60
    while not list(began.glob(pattern)):
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGSTOP)
    while not can_write(deployment.config.queue_db):
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
    return process


def can_write(database: str) -> bool:
    with closing(sqlite3.connect(database, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
    return True


@pytest.mark.parametrize("stage", [Stage.CALIBRATE, Stage.IMAGE])
@pytest.mark.long
def test_resumed_worker_changes_nothing(deployment, context, group, stage):
    if stage is Stage.IMAGE:
        execute_stage(context, Stage.CALIBRATE, group)
    output = context.config.output_dir
    began, pattern = {
        Stage.CALIBRATE: (output, f"{group}.ms.writing-*"),
        Stage.IMAGE: (output / "images", f"{group}*.writing-*"),
    }[stage]
    process = frozen_in(deployment, stage, group, began, pattern)
    try:
        until(lambda: context.store.leases.expire() == (group,), 3 * LEASE_S, "its lease expires")
        until(lambda: context.store.jobs.waiting(0), 5, "the wait after the lost attempt is over")
        assert execute_stage(context, stage, group)
        committed = contents(output)
        process.send_signal(signal.SIGCONT)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert printed.strip() == "False"
    left = {name for name in contents(output) if ".writing-" in name}
    assert left == set(), "it removes its temporary files"
    assert {name: identity for name, identity in committed.items() if ".writing-" not in name} == contents(output)
    assert [run.outcome for run in context.store.jobs.runs(group) if run.stage is stage] == [
        Outcome.EXPIRED,
        Outcome.COMMITTED,
    ]


@pytest.mark.long
def test_suspended_worker_blocks_nobody(deployment, context, group):
    """It has no lock on the Measurement Set, and the sweep clears away after it."""
    process = frozen_in(deployment, Stage.CALIBRATE, group, context.config.output_dir, f"{group}.ms.writing-*")
    try:
        until(lambda: context.store.leases.expire() == (group,), 3 * LEASE_S, "its lease expires")
        until(lambda: context.store.jobs.waiting(0), 5, "the wait after the lost attempt is over")
        assert execute_stage(context, Stage.CALIBRATE, group)
        assert execute_stage(context, Stage.IMAGE, group)
        assert context.store.files.group(group).state is State.COMPLETED
        output = context.config.output_dir
        until(lambda: remove_orphans(context.config, context.store) or not temporaries(output), 10, "it is swept")
        assert temporaries(output) == []
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
