"""The stages of a campaign on a real Measurement Set: other options, own files, and nothing of the stream changed."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from astropy.io import fits
from campaign_steps import SPAN, discard_epochs
from deployment import Deployment
from store_steps import register_file

from contimg.common.files.checksums import checksum
from contimg.store import TILE, NewCampaign, QueueRules, Stage, Store
from contimg.survey.campaigns import campaign_directory, drop_campaign, start_campaign
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext

pytestmark = pytest.mark.long
PRESET = {"CONTIMG_IMAGE_SIZE": "128", "CONTIMG_IMAGE_MAJOR_CYCLES": "1"}


@pytest.fixture
def context(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[StageContext]:
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "256")
    store = Store.open(deployment.config.queue_db, QueueRules())
    yield StageContext(deployment.config, store)
    store.close()


@pytest.fixture
def group(context: StageContext, deployment: Deployment, drift_sim_files: Mapping[int, Path]) -> str:
    """A group that the stream has processed."""
    for path in drift_sim_files.values():
        arrival = register_file(context.store, shutil.copy(path, deployment.incoming), path.stat().st_size, 1.0)
    for stage in TILE.stages:
        assert execute_stage(context, stage, arrival.file.group)
    discard_epochs(context.store, "live")
    return arrival.file.group


def run_campaign(context: StageContext, name: str, stage: Stage) -> int:
    """Run every stage of the one tile of a campaign; returns the id of its job."""
    start_campaign(context.store, context.config, NewCampaign(name, stage, *SPAN, "small", PRESET), "vera")
    (job,) = context.store.jobs.take_unsent(9, lambda jobs: jobs)
    for member in stage.remaining:
        assert execute_stage(context, member, job.id), context.store.jobs.runs(job.id)[-1].error
    discard_epochs(context.store, name)
    return job.id


def test_campaigns_of_each_stage_leave_the_stream_as_it_is(context: StageContext, group: str) -> None:
    store, output_dir = context.store, context.config.output_dir
    ms, image = store.products.measurement_set(group), store.products.image_of(group)
    before = {path: checksum(path) for path in (ms.path, image.fits_path, image.pbcor_path)}
    for name, stage in (("images", Stage.IMAGE), ("calibrated", Stage.CALIBRATE), ("converted", Stage.CONVERT)):
        job_id, directory = run_campaign(context, name, stage), campaign_directory(output_dir, name)
        own = store.products.image_of(job_id)
        assert own.fits_path == directory / "images" / f"{group}.fits"
        assert fits.getheader(own.fits_path)["NAXIS1"] == 128
        assert own.calibration_set == image.calibration_set
        own_ms = store.products.measurement_set(job_id)
        assert (own_ms is None) == (stage is Stage.IMAGE)
        assert (directory / f"{group}.ms").is_dir() == (stage is not Stage.IMAGE)
        assert not [path for path in directory.iterdir() if ".writing-" in path.name]
    assert {path: checksum(path) for path in before} == before
    assert (store.products.measurement_set(group), store.products.image_of(group)) == (ms, image)
    assert fits.getheader(image.fits_path)["NAXIS1"] == 256
    for name in ("images", "calibrated", "converted"):
        drop_campaign(store, context.config, name, "vera")
    assert list((output_dir / "campaigns").iterdir()) == []
    assert {path: checksum(path) for path in before} == before


def test_live_tile_is_imaged_beside_what_was_promoted(context: StageContext, group: str) -> None:
    store = context.store
    run_campaign(context, "images", Stage.IMAGE)
    store.promotion.promote("images", "vera")
    promoted = store.products.image_of(group)
    store.jobs.retry(group, stage=Stage.IMAGE)
    assert execute_stage(context, Stage.IMAGE, group)
    again = store.products.image_of(group)
    assert (again.id, again.fits_path) == (promoted.id, promoted.fits_path)
    assert fits.getheader(again.fits_path)["NAXIS1"] == 256
    assert store.comparisons.compare("before-images").compared == 1, "what was replaced is as it was"
