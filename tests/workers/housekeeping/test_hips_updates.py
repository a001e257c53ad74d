"""The HiPS follows the store's mosaics: by the periodic task, and by the command."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from deployment import Deployment
from epoch_steps import MOSAIC
from waiting import until

from contimg.common.errors import Transient
from contimg.epoch.hips import DIRECTORY, has_survey
from contimg.store import EpochMosaic, Lease, Stage, Store
from workers.housekeeping import hips

sys.path.append(str(Path(__file__).parents[2] / "epoch" / "hips"))

from sky_mosaics import write_mosaic

KEY, REFERENCE_S = "2026-02-22_L0130_D+163", 1_771_729_445.0


@pytest.fixture
def store(deployment: Deployment, monkeypatch: pytest.MonkeyPatch):
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    opened = Store.of(deployment.config)
    yield opened
    opened.close()


def commit_mosaic(store: Store, path: Path, grade: str = "good") -> None:
    """Store a mosaic of the epoch `KEY`, for the first time or again."""
    job = store.jobs.job(store.epochs.epoch(KEY).job_id) if store.mosaics.last_change() else None
    if job is None:
        job = store.jobs.create("epoch", KEY, reference_s=REFERENCE_S)
    else:
        store.jobs.discard(job.id)
        store.jobs.retry(job.id, stage=Stage.MOSAIC)
    lease = store.leases.claim(job.id, Stage.MOSAIC, "worker")
    assert isinstance(lease, Lease)
    store.leases.commit(lease, [EpochMosaic(replace(MOSAIC, fits_path=path, verdict=grade), ())])


def test_task_starts_an_update_per_change(store: Store, deployment: Deployment, tmp_path: Path) -> None:
    updater, directory = hips.HipsUpdater(store), deployment.config.output_dir / DIRECTORY
    assert updater.check() is False, "without a mosaic there is nothing to do"
    commit_mosaic(store, write_mosaic(tmp_path / f"{KEY}.fits"))
    assert updater.check()
    until(lambda: not updater.check(), limit_s=120, what="the end of the update")
    assert has_survey(directory)
    assert json.loads((directory / "members" / f"{KEY}.json").read_text())["is_complete"]
    assert updater.check() is False
    commit_mosaic(store, tmp_path / f"{KEY}.fits", "bad")
    outcome = deployment.contimg("epochs", "sky", "--json")
    changes = json.loads(outcome.stdout)
    assert (changes["removed"], changes["mosaics"], changes["area_deg2"]) == ([KEY], 0, 0.0)
    assert not list(directory.glob("Norder*/Dir*/*"))


def test_failed_update_is_reported_and_repeated(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_mosaic(store, write_mosaic(tmp_path / f"{KEY}.fits"))
    monkeypatch.setattr(hips, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('no space left')"))
    updater = hips.HipsUpdater(store)
    assert updater.check()
    with pytest.raises(Transient, match="no space left"):
        until(lambda: not updater.check(), limit_s=60, what="the end of the update")
    assert updater.check(), "another attempt"
    with pytest.raises(Transient):
        until(lambda: not updater.check(), limit_s=60, what="the end of the update")
