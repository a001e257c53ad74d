"""The mosaic stage of an epoch on small tile images: executed, and killed at every rename and every commit."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from epoch_steps import commit_images

sys.path += [str(Path(__file__).parents[2] / "benchmarks"), str(Path(__file__).parent)]

from test_crash_points import SIGKILL, crash_everywhere
from tile_images import random_sky, strip, write_strip

from contimg.instrument.time import unix_to_mjd
from contimg.sky.catalogue import open_catalogue
from contimg.store import EPOCH, Outcome, Stage, State, Store
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext, write_own_sources

SMALL = {"size": 192, "cell_arcsec": 64.0, "beam": (300.0, 230.0, 20.0), "rms_jy": 3e-4}
T0 = 1_771_802_271.0  # 2026-02-22T23:17:51


@pytest.fixture
def epoch(deployment, store: Store) -> int:
    """Job of an epoch of three tile images on disk, made pending."""
    directory = deployment.config.output_dir / "images"
    directory.mkdir(parents=True)
    paths = write_strip(directory, strip(80.0, 20.0, 3, **SMALL), random_sky(80.0, 20.0, 6.0, 3.2, 30))
    commit_images(store, deployment.incoming, paths, T0, 20.0)
    key = max(store.epochs.list_epochs().epochs, key=lambda record: record.tile_count).id
    store.epochs.request(unix_to_mjd(T0) - 1, unix_to_mjd(T0) + 1)
    return store.epochs.epoch(key).job_id


def test_stage_makes_mosaic_of_epoch(deployment, store: Store, epoch: int) -> None:
    for stage in EPOCH.stages:
        assert execute_stage(StageContext(deployment.config, store), stage, epoch)
    record, mosaic = store.epochs.epoch(store.jobs.job(epoch).key), store.mosaics.mosaic_of(epoch)
    assert (record.state, record.mosaic_id, record.grade) == (State.COMPLETED, mosaic.id, mosaic.verdict)
    assert mosaic.fits_path == deployment.config.output_dir / "mosaics" / f"{record.id}.fits"
    assert [member.fits_path for member in mosaic.members] == [tile.fits_path for tile in record.tiles]
    for path in (mosaic.fits_path, mosaic.weight_fits_path, mosaic.rms_fits_path, mosaic.png_path):
        assert path.stat().st_size > 0


def test_sources_of_mosaics_are_the_model_without_a_catalogue(deployment, store: Store, epoch: int, tmp_path) -> None:
    """A tile of the next day gets the brightest sources of the good mosaic; one before the mosaic gets none."""
    context = StageContext(deployment.config, store)
    assert execute_stage(context, Stage.MOSAIC, epoch)
    mosaic = store.mosaics.mosaic_of(epoch)
    assert (mosaic.verdict, bool(mosaic.sources)) == ("good", True), mosaic.verdict_reasons
    tile = replace(store.products.measurement_sets(1)[0], ra_deg=80.0, dec_deg=20.0)
    assert write_own_sources(context, replace(tile, mjd_start=tile.mjd_start - 1), tmp_path) == ""
    catalogue = open_catalogue(write_own_sources(context, replace(tile, mjd_start=tile.mjd_start + 1), tmp_path))
    assert catalogue.is_from_pipeline
    brightest = mosaic.sources[0]
    (flux_jy,) = catalogue.cone(brightest["ra_deg"], brightest["dec_deg"], 0.005).flux_jy
    assert flux_jy == pytest.approx(brightest["flux_jy"])


def test_epoch_goes_on_without_a_tile_whose_file_is_gone(deployment, store: Store, epoch: int) -> None:
    gone = store.epochs.tiles(epoch)[1].fits_path
    gone.unlink()
    assert execute_stage(StageContext(deployment.config, store), Stage.MOSAIC, epoch)
    mosaic = store.mosaics.mosaic_of(epoch)
    assert [omitted.fits_path for omitted in mosaic.omitted] == [gone]
    assert gone not in [member.fits_path for member in mosaic.members]
    assert store.epochs.epoch(store.jobs.job(epoch).key).stage is Stage.MEASURE


@pytest.mark.long
@pytest.mark.timeout(560)
def test_mosaic_killed_at_every_boundary(deployment, store: Store, epoch: int) -> None:
    endings = crash_everywhere(deployment, Stage.MOSAIC, epoch)
    assert endings[-1] == 0
    assert set(endings[:-1]) == {SIGKILL}
    assert {run.outcome for run in store.jobs.runs(epoch)} == {Outcome.RELEASED, Outcome.SUPERSEDED}
    assert len(store.mosaics.list_mosaics().mosaics) == 1
    assert store.mosaics.mosaic_of(epoch).fits_path.stat().st_size > 0
