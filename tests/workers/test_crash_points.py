"""A stage killed at every rename and every commit, once each: done again, its product is whole and nothing is left."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from contimg.config import QueueRules
from contimg.measurement_set.description import describe
from contimg.staging import leftovers
from contimg.store import Outcome, Stage, Store
from contimg.subbands import SubbandName
from workers.stages import House
from workers.sweep import sweep
from workers.turn import take_turn

SIGKILL = 9


def crash_everywhere(place, stage: Stage, group: str) -> list[int]:
    """How each attempt ended: killed at its boundary, the last one not."""
    program = Path(__file__).with_name("crash_points.py")
    done = subprocess.run(
        [sys.executable, str(program), stage, group],
        env={**place.environ, "CONTIMG_LEASE_S": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line)[1] for line in done.stdout.splitlines()]


@pytest.fixture
def group(place, store, drift_sim_files) -> str:
    for path in drift_sim_files.values():
        copy = Path(shutil.copy(path, place.incoming))
        arrival = store.arrivals.register_file(copy, path.stat().st_size, 1.0, SubbandName.parse(path))
    return arrival.file.group


def check_runs(store: Store, group: str, stage: Stage, endings: list[int]) -> None:
    assert endings[-1] == 0
    assert set(endings[:-1]) == {SIGKILL}
    outcomes = Counter(run.outcome for run in store.queue.runs(group) if run.stage is stage)
    # Killed before the claim's own commit nothing has happened, and before the last commit all but the row has.
    assert set(outcomes) == {Outcome.RELEASED, Outcome.SUPERSEDED}
    assert outcomes[Outcome.RELEASED] >= len(endings) - 2


def test_convert_killed_at_every_boundary(place, store, group):
    endings = crash_everywhere(place, Stage.CONVERT, group)
    assert len(endings) >= 4, "claim, the two sides of the rename, commit, and the end"
    check_runs(store, group, Stage.CONVERT, endings)
    ms = place.config.output_dir / f"{group}.ms"
    assert describe(ms).times_mjd_s.size == 6
    time.sleep(1.1)  # the lease's length: what is silent for so long is nobody's
    impatient = Store.open(place.config.queue_db, QueueRules(lease_s=1))
    sweep(place.config, impatient)
    impatient.close()
    assert leftovers(place.config.output_dir) == []


@pytest.mark.slow
def test_image_killed_at_every_boundary(place, store, group, monkeypatch):
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "128")
    house = House(place.config, store)
    for stage in (Stage.CONVERT, Stage.CALIBRATE, Stage.IMAGE):
        take_turn(house, stage, group)
    store.queue.retry(group, stage=Stage.IMAGE)
    endings = crash_everywhere(place, Stage.IMAGE, group)
    assert len(endings) >= 10, "four products, each with a rename and its two sides, claim, commit"
    check_runs(store, group, Stage.IMAGE, endings)
    image = store.products.image_of(group)
    for path in (image.fits_path, image.beam_fits_path, image.png_path, image.thumbnail_path):
        assert path.stat().st_size > 0
