"""One turn on real files and the real store, in this process; and what goes wrong."""

import os
import shutil
import signal
import threading
import time

import pytest
from store_steps import register_file

from contimg.common.errors import LeaseLost
from contimg.common.files.staging import temporaries
from contimg.formats.uvh5.grouping import subband_file_name
from contimg.settings import QueueRules
from contimg.store import FileState, Lease, Outcome, Stage, State, Store
from contimg.store.jobs.leases import Leases
from workers.execution import attempt as turn
from workers.execution import stages
from workers.execution.attempt import execute_stage
from workers.execution.heartbeat import keep_lease
from workers.execution.stages import StageContext


@pytest.fixture
def context(deployment, tmp_path) -> StageContext:
    store = Store.open(deployment.config.queue_db, QueueRules(retry_delay_s=0.0, max_attempts=2))
    yield StageContext(deployment.config, store)
    store.close()


@pytest.fixture
def group(context, deployment, drift_sim_files) -> str:
    """The outside judge's group, arrived."""
    for path in drift_sim_files.values():
        copy = shutil.copy(path, deployment.incoming)
        arrival = register_file(context.store, copy, path.stat().st_size, 1.0)
    assert arrival.became_pending
    return arrival.file.group


def test_stage_commits_product_and_cost(context, group):
    assert execute_stage(context, Stage.CONVERT, group, "task 1")
    record = context.store.products.measurement_set(group)
    assert record.path == context.config.output_dir / f"{group}.ms"
    assert (record.path / "table.dat").exists()
    assert (record.integrations, record.channels, record.antennas) == (6, 768, 8)
    (run,) = context.store.jobs.runs(group)
    assert (run.outcome, run.task_id) == (Outcome.COMMITTED, "task 1")
    assert run.owner.split(":")[1] == str(os.getpid())
    arrived = sum(path.stat().st_size for path in context.config.input_dir.iterdir())
    assert run.bytes_read > arrived
    assert run.bytes_written >= record.bytes
    assert 50e6 < run.peak_rss_bytes < 4e9
    assert context.store.files.group(group).stage is Stage.CALIBRATE


def test_second_message_continues_chain(context, group):
    execute_stage(context, Stage.CONVERT, group)
    ms = context.store.products.measurement_set(group)
    assert execute_stage(context, Stage.CONVERT, group)
    assert context.store.products.measurement_set(group) == ms
    assert len(context.store.jobs.runs(group)) == 1


def test_message_without_work_ends_chain(context, group):
    assert not execute_stage(context, Stage.CONVERT, "2000-01-01T00:00:00")
    assert not execute_stage(context, Stage.IMAGE, group), "convert comes first"
    context.store.jobs.pause("a test")
    assert not execute_stage(context, Stage.CONVERT, group)
    assert context.store.jobs.runs(group) == ()


def test_truncated_file_is_quarantined(context, group):
    bad = next(context.config.input_dir.glob("*sb05*"))
    with bad.open("r+b") as file:
        file.truncate(2000)
    assert not execute_stage(context, Stage.CONVERT, group)
    (aside,) = context.store.files.latest(FileState.QUARANTINED)
    assert (aside.path, bool(aside.reason)) == (bad, True)
    record = context.store.files.group(group)
    assert (record.state, record.attempts, len(record.subbands)) == (State.COLLECTING, 0, 15)
    assert bad.exists()
    assert not (context.config.output_dir / f"{group}.ms").exists()


def test_missing_measurement_set_fails(context, group):
    execute_stage(context, Stage.CONVERT, group)
    shutil.rmtree(context.config.output_dir / f"{group}.ms")
    assert not execute_stage(context, Stage.CALIBRATE, group)
    record = context.store.files.group(group)
    assert (record.state, record.attempts) == (State.FAILED, 1)
    assert f"`contimg groups retry {group} --stage convert`" in record.error


def test_unwritable_output_directory_is_retried(context, group):
    context.config.output_dir.write_text("a file where the directory should be")
    assert not execute_stage(context, Stage.CONVERT, group)
    record = context.store.files.group(group)
    assert (record.state, record.attempts) == (State.PENDING, 1)
    context.config.output_dir.unlink()
    assert execute_stage(context, Stage.CONVERT, group)


def test_wrong_option_is_named_and_retried(context, group, monkeypatch):
    monkeypatch.setenv("CONTIMG_CONVERT_BLOCK_MB", "many")
    assert not execute_stage(context, Stage.CONVERT, group)
    record = context.store.files.group(group)
    assert record.state is State.PENDING
    assert "CONTIMG_CONVERT_BLOCK_MB='many'" in record.error


def failing_with(error):
    def fail(*_):
        raise error

    return fail


def test_unexpected_error_is_retried_with_traceback(context, group, monkeypatch, caplog):
    monkeypatch.setattr(stages, "run", failing_with(ZeroDivisionError("division by zero")))
    assert not execute_stage(context, Stage.CONVERT, group)
    assert context.store.files.group(group).state is State.PENDING
    assert context.store.files.group(group).error == "ZeroDivisionError: division by zero"
    assert any(record.exc_info for record in caplog.records)
    execute_stage(context, Stage.CONVERT, group)
    assert context.store.files.group(group).state is State.FAILED, "after the last attempt"


def test_memory_error_is_retried(context, group, monkeypatch):
    monkeypatch.setattr(stages, "run", failing_with(MemoryError()))
    execute_stage(context, Stage.CONVERT, group)
    assert "memory" in context.store.files.group(group).error
    assert context.store.files.group(group).state is State.PENDING


def test_exit_releases_lease(context, group, monkeypatch):
    monkeypatch.setattr(stages, "run", failing_with(SystemExit()))
    with pytest.raises(SystemExit):
        execute_stage(context, Stage.CONVERT, group)
    record = context.store.files.group(group)
    assert (record.state, record.attempts) == (State.PENDING, 0)


@pytest.fixture
def impatient(deployment) -> Store:
    store = Store.open(deployment.config.queue_db, QueueRules(lease_s=3.0, expected_subbands=1, min_subbands=1))
    yield store
    store.close()


def claimed(store: Store) -> Lease:
    name = subband_file_name(1_771_802_000.0, 0)
    register_file(store, f"/incoming/{name}", 1, 1.0)
    lease = store.leases.claim(name.partition("_")[0], Stage.CONVERT, "a test")
    assert isinstance(lease, Lease)
    return lease


def test_lease_is_extended_while_stage_runs(impatient):
    lease = claimed(impatient)
    with keep_lease(impatient, lease):
        time.sleep(impatient.database.rules.lease_s + 1)
        assert impatient.leases.expire() == ()
    assert impatient.files.group(lease.group).lease_expires_at > lease.expires_at


def test_lost_lease_interrupts_stage(impatient):
    lease = claimed(impatient)
    began = time.monotonic()

    def stage():
        with keep_lease(impatient, lease):
            impatient.leases.release(lease)  # as if another had it now
            time.sleep(60)

    with pytest.raises(LeaseLost):
        stage()
    assert time.monotonic() - began < 30


def test_late_loss_interrupts_nothing_else(impatient):
    lease = claimed(impatient)
    with keep_lease(impatient, lease):
        pass
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR2)
    time.sleep(0.01)


def test_product_without_lease_is_not_committed(context, group, monkeypatch):
    real = stages.run

    def slow(context, lease):
        produced = real(context, lease)
        context.store.leases.release(lease)
        return produced

    monkeypatch.setattr(turn.stages, "run", slow)
    assert not execute_stage(context, Stage.CONVERT, group)
    assert context.store.products.measurement_set(group) is None
    assert context.store.files.group(group).stage is Stage.CONVERT


def test_resumed_worker_without_lease_renames_nothing(context, group, monkeypatch):
    """Frozen just before the rename, for so long that another worker has converted the group: its product stays."""
    real, product, inodes = Leases.hold_lease, context.config.output_dir / f"{group}.ms", []

    def frozen_meanwhile(leases, lease):
        if not inodes:
            inodes.append(None)
            leases.release(lease)
            assert execute_stage(context, Stage.CONVERT, group)
            inodes[0] = product.stat().st_ino
        return real(leases, lease)

    monkeypatch.setattr(Leases, "hold_lease", frozen_meanwhile)
    assert not execute_stage(context, Stage.CONVERT, group)
    assert product.stat().st_ino == inodes[0]
    assert temporaries(context.config.output_dir) == []
    assert [run.outcome for run in context.store.jobs.runs(group)] == [Outcome.RELEASED, Outcome.COMMITTED]


@pytest.mark.long
def test_broken_measurement_set_is_converted_again(context, group):
    """As a full disk leaves it when a column is being added: the table names a file that is not there."""
    execute_stage(context, Stage.CONVERT, group)
    ms = context.config.output_dir / f"{group}.ms"
    (ms / "table.f0").unlink()
    assert not execute_stage(context, Stage.CALIBRATE, group)
    record = context.store.files.group(group)
    assert (record.state, record.stage, record.attempts) == (State.PENDING, Stage.CONVERT, 0)
    assert execute_stage(context, Stage.CONVERT, group)
    assert execute_stage(context, Stage.CALIBRATE, group)
    assert [run.outcome for run in context.store.jobs.runs(group) if run.stage is Stage.CONVERT] == [
        Outcome.SUPERSEDED,
        Outcome.COMMITTED,
    ]
