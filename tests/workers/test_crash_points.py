"""A stage killed at every rename and every commit, once each: done again, its product is whole and nothing is left."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from casacore.tables import table
from store_steps import register_file

from contimg.common.files.staging import temporaries
from contimg.formats.ms.info import read_ms_info
from contimg.settings import QueueRules
from contimg.store import Outcome, Stage, Store
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext
from workers.housekeeping.cleanup import remove_orphans

SIGKILL = 9


def crash_everywhere(deployment, stage: Stage, group: int | str, *between: int) -> list[int]:
    """How each attempt ended: killed at its boundary, the last one not; `between`: the first and the last boundary."""
    program = Path(__file__).with_name("crash_points.py")
    done = subprocess.run(
        [sys.executable, str(program), stage, str(group), *map(str, between)],
        env={**deployment.environ, "CONTIMG_LEASE_S": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line)[1] for line in done.stdout.splitlines()]


@pytest.fixture
def group(deployment, store, drift_sim_files) -> str:
    for path in drift_sim_files.values():
        copy = Path(shutil.copy(path, deployment.incoming))
        arrival = register_file(store, copy, path.stat().st_size, 1.0)
    return arrival.file.group


def check_runs(store: Store, group: str, stage: Stage, endings: list[int]) -> None:
    assert endings[-1] == 0
    assert set(endings[:-1]) == {SIGKILL}
    outcomes = Counter(run.outcome for run in store.jobs.runs(group) if run.stage is stage)
    # Killed before the claim's own commit nothing has happened, and before the last commit all but the row has.
    assert set(outcomes) == {Outcome.RELEASED, Outcome.SUPERSEDED}
    assert outcomes[Outcome.RELEASED] >= len(endings) - 2


def sweep_all(deployment) -> None:
    """After a lease's length: what is silent for so long is nobody's."""
    time.sleep(1.1)
    impatient = Store.open(deployment.config.queue_db, QueueRules(lease_s=1))
    remove_orphans(deployment.config, impatient)
    impatient.close()


@pytest.mark.long
def test_convert_killed_at_every_boundary(deployment, store, group):
    endings = crash_everywhere(deployment, Stage.CONVERT, group)
    assert len(endings) >= 4, "claim, the two sides of the rename, commit, and the end"
    check_runs(store, group, Stage.CONVERT, endings)
    ms = deployment.config.output_dir / f"{group}.ms"
    assert read_ms_info(ms).times_mjd_s.size == 6
    sweep_all(deployment)
    assert temporaries(deployment.config.output_dir) == []


def arrive(deployment, store: Store, files: Sequence[Path]) -> str:
    for path in files:
        copy = Path(shutil.copy(path, deployment.incoming))
        arrival = register_file(store, copy, path.stat().st_size, 1.0)
    return arrival.file.group


def corrected(ms: Path) -> tuple[str, str]:
    """Digests of FLAG and CORRECTED_DATA."""
    with table(str(ms), ack=False) as main:
        return tuple(hashlib.sha256(main.getcol(name).tobytes()).hexdigest() for name in ("FLAG", "CORRECTED_DATA"))


@pytest.fixture
def tiles(deployment, store, small_groups) -> list[str]:
    """A calibrator's tile, calibrated with its own set, and a target with that one."""
    context = StageContext(deployment.config, store)
    groups = [arrive(deployment, store, files) for files in small_groups.values()]
    for group in groups:
        for stage in (Stage.CONVERT, Stage.CALIBRATE):
            execute_stage(context, stage, group)
    return groups


def calibrate_again(deployment, store: Store, group: str, *between: int) -> list[int]:
    """Kill and calibrate again and again: nothing but the number of attempts may be another in the end."""
    ms = deployment.config.output_dir / f"{group}.ms"
    before, used = corrected(ms), store.products.measurement_set(group).calibration_set
    store.jobs.discard(group)
    store.jobs.retry(group, stage=Stage.CALIBRATE)
    endings = crash_everywhere(deployment, Stage.CALIBRATE, group, *between)
    assert {run.outcome for run in store.jobs.runs(group) if run.stage is Stage.CONVERT} == {Outcome.COMMITTED}
    assert (corrected(ms), store.products.measurement_set(group).calibration_set) == (before, used)
    assert [caltable_set.name for caltable_set in store.registry.sets()] == [used]
    sweep_all(deployment)
    assert temporaries(deployment.config.output_dir) == []
    assert sorted(path.name for path in (deployment.config.output_dir / "calibration").iterdir()) == [used, "flags"]
    return endings


@pytest.mark.long
def test_calibrate_killed_at_every_boundary(deployment, store, tiles):
    endings = calibrate_again(deployment, store, tiles[1])
    assert len(endings) >= 8, "claim, two files of the flag summary, Measurement Set, each with its sides, commit"
    check_runs(store, tiles[1], Stage.CALIBRATE, endings)


@pytest.mark.long
def test_calibrate_killed_at_rename_of_set(deployment, store, tiles):
    """The boundaries before are those of any tile; an earlier set of that name steps aside, the new one comes."""
    endings = calibrate_again(deployment, store, tiles[0], 6, 8)
    assert endings == [SIGKILL] * 3


@pytest.mark.long
def test_image_killed_at_every_boundary(deployment, store, group, monkeypatch):
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "128")
    context = StageContext(deployment.config, store)
    for stage in (Stage.CONVERT, Stage.CALIBRATE, Stage.IMAGE):
        execute_stage(context, stage, group)
    store.jobs.retry(group, stage=Stage.IMAGE)
    endings = crash_everywhere(deployment, Stage.IMAGE, group)
    assert len(endings) >= 10, "four products, each with a rename and its two sides, claim, commit"
    check_runs(store, group, Stage.IMAGE, endings)
    image = store.products.image_of(group)
    for path in (image.fits_path, image.beam_fits_path, image.png_path, image.thumbnail_path):
        assert path.stat().st_size > 0
