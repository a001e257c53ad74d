"""Flags set by hand on a tile of a running stream, over a repeated calibration, a new conversion and a restart."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from deployment import Deployment
from waiting import until

from contimg.simulation import SimulateOptions, simulate
from contimg.store import Stage, State, Store

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ENVIRONMENT = {
    "CONTIMG_MIN_SUBBANDS": "16", "CONTIMG_IMAGE_SIZE": "128", "CONTIMG_CALIBRATE_FLAG": "0",
    "CONTIMG_CALIBRATE_SOLVE": "0", "CONTIMG_MAX_WORKERS": "3", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def start(deployment: Deployment) -> subprocess.Popen[bytes]:
    return deployment.start_process(*deployment.command("run", "--no-web"), log="run.log", append=True)


def stop(service: subprocess.Popen[bytes]) -> None:
    service.send_signal(signal.SIGTERM)
    service.wait(60)


@pytest.fixture
def deployment(deployment: Deployment) -> Deployment:
    deployment.more |= ENVIRONMENT
    return deployment


@pytest.fixture
def store(deployment: Deployment) -> Iterator[Store]:
    opened = Store.open(deployment.config.queue_db)
    yield opened
    opened.close()


def read_flags(ms: Path) -> tuple[np.ndarray, np.ndarray]:
    """FLAG, and which rows are of the second antenna."""
    with table(str(ms), ack=False) as main:
        ant1, ant2, flags = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "FLAG"))
    slot = np.unique(ant1)[1]
    return flags, (ant1 == slot) | (ant2 == slot)


def test_antenna_flagged_by_hand_stays_flagged(deployment, store, tmp_path):
    options = SimulateOptions(groups=1, antennas=6, channels=16, integrations=4, clock_spread=0, threads=1)
    (tile,) = simulate(options, tmp_path / "telescope")
    group = tile.plan.group
    service = start(deployment)
    try:
        for path in tile.files.values():
            unfinished = deployment.config.input_dir / path.name.replace(".hdf5", "_incomplete.hdf5")
            shutil.copy(path, unfinished)
            unfinished.rename(unfinished.with_name(path.name))

        def is_imaged() -> bool:
            record = store.files.group(group)
            return record is not None and record.state is State.COMPLETED

        until(is_imaged, 120, "the image")
        ms = store.products.measurement_set(group).path
        flags, rows = read_flags(ms)
        assert not flags.any()
        with table(str(ms), readonly=False, ack=False) as main:
            flags[rows] = True
            main.putcol("FLAG", flags)
        for stage in (Stage.CALIBRATE, Stage.CONVERT, Stage.CALIBRATE):
            store.jobs.retry(group, stage=stage)
            until(is_imaged, 120, f"the image after {stage}")
            flags, rows = read_flags(ms)
            assert flags[rows].all(), stage
            assert not flags[~rows].any(), stage
            assert store.products.image_of(group).unflagged_fraction == pytest.approx(10 / 15, abs=0.01), stage
        stop(service)
        service = start(deployment)
        store.jobs.retry(group, stage=Stage.CALIBRATE)
        until(is_imaged, 120, "the image after the restart")
        assert read_flags(ms)[0][rows].all()
        assert "by hand" in store.products.image_of(group).calibration_note
    finally:
        stop(service)
    log = (tmp_path / "run.log").read_text(errors="replace")
    assert "Traceback" not in log, os.linesep.join(log.splitlines()[-40:])
