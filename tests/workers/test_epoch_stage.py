"""The mosaic stage of an epoch on small tile images: executed, and killed at every rename and every commit."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from epoch_steps import commit_images

sys.path += [str(Path(__file__).parents[2] / "benchmarks"), str(Path(__file__).parent)]

from test_crash_points import SIGKILL, crash_everywhere
from tile_images import Sky, random_sky, strip, write_strip

from contimg.instrument.time import unix_to_mjd
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, open_catalogue, write_catalogue
from contimg.store import EPOCH, EpochRecord, Outcome, SourceKind, Stage, State, Store
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext, write_own_sources

SMALL = {"size": 192, "cell_arcsec": 64.0, "beam": (300.0, 230.0, 20.0), "rms_jy": 3e-4}
T0 = 1_771_802_271.0  # 2026-02-22T23:17:51


@pytest.fixture
def epoch(deployment, store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """Job of an epoch of three tile images on disk, made pending."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(deployment.settings.state_dir))
    return request_epoch(deployment, store)


def request_epoch(deployment, store: Store, declination_deg: float = 20.0, **fields) -> int:
    """Job of an epoch of three tile images at declination 20° on disk, whose records have these values."""
    directory = deployment.config.output_dir / "images"
    directory.mkdir(parents=True)
    paths = write_strip(directory, strip(80.0, 20.0, 3, **SMALL), random_sky(80.0, 20.0, 6.0, 3.2, 30))
    commit_images(store, deployment.incoming, paths, T0, declination_deg, **fields)
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


def install_catalogue(deployment) -> Sky:
    """Install the true sky of the epoch as the reference catalogue."""
    sky = random_sky(80.0, 20.0, 6.0, 3.2, 30)
    names = [f"S{number}" for number in range(sky.flux_jy.size)]
    sources = CatalogueSources.of(
        1.405e9, names, sky.ra_deg, sky.dec_deg, sky.flux_jy, is_isolated=np.ones(len(names), dtype=bool)
    )
    path = deployment.settings.state_dir / "catalogues" / "truth.catalogue"
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = Provenance(name="truth", kind=SIMULATED, frequency_hz=1.405e9, beam_deg=0.08, flux_limit_jy=3e-3)
    write_catalogue(path, sources, provenance)
    return sky


def run_epoch(deployment, store: Store, epoch: int) -> EpochRecord:
    """Execute both stages of an epoch."""
    for stage in EPOCH.stages:
        assert execute_stage(StageContext(deployment.config, store), stage, epoch), store.jobs.job(epoch).error
    return store.epochs.epoch(store.jobs.job(epoch).key)


def test_measure_stage_measures_catalogued_sources(deployment, store: Store, epoch: int) -> None:
    sky = install_catalogue(deployment)
    record = run_epoch(deployment, store, epoch)
    assert record.state is State.COMPLETED
    sources = {source.name: source for source in store.sky.cone(80.0, 20.0, 5.0)}
    curves = [store.sky.light_curve(source.id).measurements for source in sources.values()]
    assert {len(curve) for curve in curves} == {1}
    assert {curve[0].epoch for curve in curves} == {record.id}
    assert not {"WRONG_STRIP", "HIGH_FLAG_FRACTION"} & {flag for curve in curves for flag in curve[0].flags}
    assert len(curves) > 10
    pulls = []
    for source, curve in zip(sources.values(), curves, strict=True):
        (nearest,) = np.flatnonzero(np.hypot(sky.dec_deg - source.dec_deg, sky.ra_deg - source.ra_deg) < 1e-6)
        pulls.append(
            (curve[0].flux_jy - sky.flux_jy[nearest]) / np.hypot(curve[0].flux_error_jy, 0.02 * curve[0].flux_jy)
        )
    assert np.abs(np.median(pulls)) < 0.6
    assert np.std(pulls) < 2
    text = next(event.text for event in store.events.after(0) if event.text.startswith("measured"))
    assert f"measured {len(curves)} positions" in text


def test_measure_stage_flags_another_strip_and_flagged_tiles(
    deployment, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records say declination 22°, the images are of 20°; 70 % of the visibilities of each tile are flagged."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(deployment.settings.state_dir))
    run_epoch(deployment, store, request_epoch(deployment, store, 22.0, unflagged_fraction=0.3))
    sources = store.sky.cone(80.0, 20.0, 5.0)
    assert len(sources) > 3
    for source in sources:
        (measurement,) = store.sky.light_curve(source.id).measurements
        assert {"WRONG_STRIP", "HIGH_FLAG_FRACTION"} <= set(measurement.flags)
        assert (measurement.is_counted, measurement.uncounted_reason) == (False, "hard flag")
    assert {source.variability for source in sources} == {None}
    assert store.sky.candidates() == ()


def test_measure_stage_without_catalogue_takes_own_sources(deployment, store: Store, epoch: int) -> None:
    """The sources of the mosaic become sources of the store; measured again they are the same ones."""
    run_epoch(deployment, store, epoch)
    mosaic = store.mosaics.mosaic_of(epoch)
    sources = store.sky.cone(80.0, 20.0, 5.0)
    assert 0 < len(sources) <= 30
    assert {source.kind for source in sources} == {SourceKind.BLIND}
    store.jobs.retry(epoch, stage=Stage.MEASURE)
    assert execute_stage(StageContext(deployment.config, store), Stage.MEASURE, epoch)
    assert store.mosaics.mosaic_of(epoch) == mosaic
    assert [source.name for source in store.sky.cone(80.0, 20.0, 5.0)] == [source.name for source in sources]
    assert len(store.sky.light_curve(sources[0].id).measurements) == 1


def test_measure_stage_without_positions_completes(
    deployment, store: Store, epoch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue of another part of the sky, and no blind detection."""
    monkeypatch.setenv("CONTIMG_ASSOCIATION_DETECT_SIGMA", "1e6")
    path = deployment.settings.state_dir / "catalogues" / "south.catalogue"
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = Provenance(name="south", kind=SIMULATED, frequency_hz=1.4e9, beam_deg=0.01, flux_limit_jy=0.01)
    write_catalogue(path, CatalogueSources.of(1.4e9, ["A"], [80.0], [-60.0], [1.0]), provenance)
    assert run_epoch(deployment, store, epoch).state is State.COMPLETED
    assert any(event.text.startswith("nothing measured") for event in store.events.after(0))
    assert store.sky.cone(80.0, 20.0, 5.0) == ()


def test_measure_stage_without_its_mosaic_fails(deployment, store: Store, epoch: int) -> None:
    context = StageContext(deployment.config, store)
    assert execute_stage(context, Stage.MOSAIC, epoch)
    store.mosaics.mosaic_of(epoch).fits_path.unlink()
    assert not execute_stage(context, Stage.MEASURE, epoch)
    job = store.jobs.job(epoch)
    assert (job.state, job.stage) == (State.FAILED, Stage.MEASURE)
    assert f"contimg epochs retry {job.key} --stage mosaic" in job.error


@pytest.mark.long
@pytest.mark.timeout(560)
def test_measure_killed_at_every_boundary(deployment, store: Store, epoch: int) -> None:
    install_catalogue(deployment)
    assert execute_stage(StageContext(deployment.config, store), Stage.MOSAIC, epoch)
    endings = crash_everywhere(deployment, Stage.MEASURE, epoch)
    assert endings[-1] == 0
    assert set(endings[:-1]) == {SIGKILL}
    sources = store.sky.cone(80.0, 20.0, 5.0)
    assert {len(store.sky.light_curve(source.id).measurements) for source in sources} == {1}


@pytest.mark.long
@pytest.mark.timeout(560)
def test_mosaic_killed_at_every_boundary(deployment, store: Store, epoch: int) -> None:
    endings = crash_everywhere(deployment, Stage.MOSAIC, epoch)
    assert endings[-1] == 0
    assert set(endings[:-1]) == {SIGKILL}
    assert {run.outcome for run in store.jobs.runs(epoch)} == {Outcome.RELEASED, Outcome.SUPERSEDED}
    assert len(store.mosaics.list_mosaics().mosaics) == 1
    assert store.mosaics.mosaic_of(epoch).fits_path.stat().st_size > 0


def test_measure_stage_finds_sources_that_the_catalogue_lacks(deployment, store: Store, epoch: int) -> None:
    """A source in the middle of the mosaic is not in the catalogue: it becomes one of the store, and no candidate."""
    sky = install_catalogue(deployment)
    assert execute_stage(StageContext(deployment.config, store), Stage.MOSAIC, epoch)
    brightest = store.mosaics.mosaic_of(epoch).sources
    middle = min(brightest, key=lambda source: np.hypot(source["ra_deg"] - 80.0, source["dec_deg"] - 20.0))
    catalogue = deployment.settings.state_dir / "catalogues" / "truth.catalogue"
    missing = int(np.argmin(np.hypot(sky.dec_deg - middle["dec_deg"], sky.ra_deg - middle["ra_deg"])))
    is_listed = np.arange(sky.flux_jy.size) != missing
    sources = CatalogueSources.of(1.405e9, [f"S{n}" for n in np.flatnonzero(is_listed)], sky.ra_deg[is_listed],
                                  sky.dec_deg[is_listed], sky.flux_jy[is_listed],
                                  is_isolated=np.ones(int(is_listed.sum()), dtype=bool))  # fmt: skip
    provenance = Provenance(name="truth", kind=SIMULATED, frequency_hz=1.405e9, beam_deg=0.08, flux_limit_jy=3e-3)
    write_catalogue(catalogue, sources, provenance)
    for _ in range(2):
        assert execute_stage(StageContext(deployment.config, store), Stage.MEASURE, epoch), store.jobs.job(epoch).error
        (source,) = [
            source
            for source in store.sky.cone(float(sky.ra_deg[missing]), float(sky.dec_deg[missing]), 0.02)
            if source.kind is SourceKind.BLIND
        ]
        (measurement,) = store.sky.light_curve(source.id).measurements
        assert measurement.flux_jy == pytest.approx(sky.flux_jy[missing], rel=0.1)
        store.jobs.retry(epoch, stage=Stage.MEASURE)
    assert store.sky.candidates() == ()
    assert store.mosaics.earlier_noise_maps(store.mosaics.mosaic_of(epoch)) == ()
    later = replace(store.mosaics.mosaic_of(epoch), epoch=store.mosaics.mosaic_of(epoch).epoch.replace("2026", "2027"))
    assert store.mosaics.earlier_noise_maps(later) == (later.rms_fits_path,)
