"""Self-calibration as the workers do it: switched on in the environment, a turn of the image stage, the real store."""

import re

import numpy as np
import pytest
from casacore.tables import table
from small_ms import SLOTS, make_ms, random_gains
from store_steps import register_file

from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import read_ms_info
from contimg.settings import Settings, load, save
from contimg.store import Stage, State, Store
from contimg.tile.products import ConvertedMS
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext

GROUP = "2026-02-22T23:23:00"
SOURCES = [(24.02, 33.42, lambda f: 8.0 + 0 * f), (23.85, 33.25, lambda f: 4.0 + 0 * f)]
SETTINGS = {
    "CONTIMG_SELFCAL_ENABLED": "1", "CONTIMG_SELFCAL_MIN_DYNAMIC_RANGE": "5", "CONTIMG_CALIBRATE_MIN_APPARENT_JY": "99",
    "CONTIMG_IMAGE_SIZE": "512", "CONTIMG_IMAGE_PIXEL_ARCSEC": "6", "CONTIMG_IMAGE_MIN_UV_KLAMBDA": "0",
    "CONTIMG_IMAGE_ITERATIONS": "2000",
}  # fmt: skip


@pytest.fixture
def context(calibrated, tmp_path, monkeypatch):
    """A target whose antennas have turned since the set in the registry was solved; converted, not yet calibrated."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"output_dir": str(tmp_path / "products"), "input_dir": str(tmp_path / "incoming")})
    config = load(settings)
    store = Store.of(config)
    store.registry.register(calibrated.done.new_set)
    for subband in range(16):
        register_file(store, config.input_dir / f"{GROUP}_sb{subband:02d}.hdf5", 1, 1.0)
    turned = np.exp(1j * np.deg2rad(25.0) * np.random.default_rng(2).normal(size=(len(SLOTS), 1, 2)))
    config.output_dir.mkdir()
    path = config.output_dir / f"{GROUP}.ms"
    make_ms(path, sources=SOURCES, gains=random_gains() * turned, noise=1.0, seed=6)
    lease = store.leases.claim(GROUP, Stage.CONVERT, "the test")
    store.leases.commit(lease, [row_of(path)])
    yield StageContext(config, store)
    store.close()


def row_of(path):
    tile = read_ms_info(path)
    days = tile.times_mjd_s / 86400
    return ConvertedMS(
        path=path, mjd_start=days[0], mjd_end=days[-1], ra_deg=24.0, dec_deg=33.4, integrations=days.size,
        channels=len(tile.freqs_hz), antennas=len(SLOTS), missing_subbands=(), flagged_fraction=0.0, bytes=1,
    )  # fmt: skip


def imaged(context):
    """What a turn of each stage leaves: CORRECTED_DATA and its note before the image stage and after, and the image."""
    assert execute_stage(context, Stage.CALIBRATE, GROUP)
    before = corrected(context)
    assert execute_stage(context, Stage.IMAGE, GROUP) is not None
    assert context.store.files.group(GROUP).state is State.COMPLETED
    return before, corrected(context), context.store.products.image_of(GROUP)


def corrected(context):
    with table(str(context.measurement_set_path(GROUP)), ack=False) as main:
        return main.getcol("CORRECTED_DATA"), read_calibration_record(main, "CORRECTED_DATA")


def selfcal_events(context):
    return [event.text for event in context.store.events.last(50) if re.search("self.?cal", event.text, re.IGNORECASE)]


@pytest.mark.long
def test_selfcal_before_imaging(context, monkeypatch):
    (before, _), (after, note), image = imaged(context)
    assert len(selfcal_events(context)) == 1
    assert "phase" in note["selfcal"]
    assert not np.array_equal(after, before)
    monkeypatch.setenv("CONTIMG_SELFCAL_ENABLED", "0")
    context.store.jobs.retry(GROUP, stage=Stage.CALIBRATE)
    (plain, _), (same, note), worse = imaged(context)
    assert np.array_equal(plain, before)
    assert np.array_equal(same, plain)
    assert "selfcal" not in note
    assert image.rms_jy < 0.7 * worse.rms_jy
    assert image.calibration_set == worse.calibration_set


@pytest.mark.long
def test_unhelpful_selfcal_is_not_kept(context, monkeypatch):
    monkeypatch.setenv("CONTIMG_SELFCAL_LEAST_GAIN", "0.95")
    (before, note), (after, noted), _ = imaged(context)
    assert len(selfcal_events(context)) == 1
    assert np.array_equal(after, before)
    assert noted == note
