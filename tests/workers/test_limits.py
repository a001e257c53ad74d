"""A stage that takes too long is stopped, with what it started, and the group says why."""

import shutil
import signal
import time
from pathlib import Path

import pytest
from waiting import processes_with, until

from contimg.store import Outcome, Stage, State, Store


@pytest.mark.long
def test_stage_past_its_limit_is_killed_and_its_group_fails_after_the_last_attempt(deployment, small_groups):
    """The calibrator's solution needs seconds and gets one; CASA's process dies with the worker's."""
    deployment.more |= {
        "CONTIMG_STAGE_LIMIT_S": "1",
        "CONTIMG_MAX_ATTEMPTS": "2",
        "CONTIMG_CALIBRATE_MIN_APPARENT_JY": "1",
    }
    service = deployment.start_process(*deployment.command("run", "--no-web"), log="run.log")
    store = Store.open(deployment.config.queue_db)
    try:
        until(lambda: store.activity.last_beat("producer.scan"), 40, "the first scan")
        group, files = next(iter(small_groups.items()))
        for path in files:
            shutil.copy(path, deployment.incoming)
        until(lambda: (record := store.files.group(group)) and record.state is State.FAILED, 120, "the group fails")
        record = store.files.group(group)
        assert all(part in record.error for part in (record.stage, "1 s", "CONTIMG_STAGE_LIMIT_S")), record.error
        runs = store.jobs.runs(group)
        failed = [run for run in runs if run.outcome is Outcome.FAILED]
        assert len(failed) >= 2
        assert not [run for run in runs if run.outcome is Outcome.RELEASED], "an attempt was given back uncounted"
        assert all(run.ended_at - run.started_at < 30 for run in failed)
        assert record.stage in (Stage.CONVERT, Stage.CALIBRATE)
        time.sleep(1)
        assert not [pid for pid in processes_with("casa_process") if str(deployment.root) in _words(pid)]
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)
        store.close()


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
