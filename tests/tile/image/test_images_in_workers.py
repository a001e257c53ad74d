"""The image stage as the workers run it: the noise of the strip's earlier images comes from the store."""

from dataclasses import replace

import pytest
from point_source_ms import Source, make_ms
from store_steps import IMAGE, commit, register_file

from contimg.settings import Settings, load, save
from contimg.store import Stage, Store
from contimg.tile.products import CalibratedMS, ConvertedMS
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext

GROUP, EARLIER = "2026-02-22T23:23:00", "2026-02-22T2{}:{}:00"
BAD = {"37": "no fringes of the calibrator"}


@pytest.fixture
def context(tmp_path, monkeypatch):
    """Five good images of the strip, and a tile that was calibrated with a suspect set."""
    monkeypatch.setenv("CONTIMG_IMAGE_SIZE", "256")
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"output_dir": str(tmp_path / "products"), "input_dir": str(tmp_path / "incoming")})
    config = load(settings)
    store = Store.of(config)
    config.output_dir.mkdir()
    groups = [EARLIER.format(hour, minute) for hour in (1, 2) for minute in (10, 30, 50)][:5]
    for number, group in enumerate([*groups, GROUP]):
        for subband in range(16):
            register_file(store, config.input_dir / f"{group}_sb{subband:02d}.hdf5", 1, 1.0)
        path = config.output_dir / f"{group}.ms"
        mjd = 61093.5 + 0.01 * number
        ms = ConvertedMS(path, mjd, mjd + 0.004, 24.3, 33.2, 24, 16, 16, (), 0.0, 1)
        commit(store, group, Stage.CONVERT, ms)
        commit(store, group, Stage.CALIBRATE, CalibratedMS("set", "solved", 0.0, bad_antennas=BAD))
        if group != GROUP:
            row = replace(IMAGE, fits_path=path.with_suffix(".fits"), beam_fits_path=None, png_path=None, mjd=mjd)
            commit(store, group, Stage.IMAGE, replace(row, verdict="good", rms_jy=1e-4 * (1 + number)))
    note = {"set": "set", "grade": "suspect", "reasons": ["32% of the calibrator is left after correction"]}
    make_ms(
        config.output_dir / f"{GROUP}.ms", (Source(0.1, 0, 1.0),), antennas=16, times=2, channels=16, sefd_jy=650.0,
        corrected=note,
    )  # fmt: skip
    yield StageContext(config, store)
    store.close()


def test_history_and_calibration_grade_reach_the_image(context):
    assert execute_stage(context, Stage.IMAGE, GROUP) is not None
    image = context.store.products.image_of(GROUP)
    assert image.history_rms_jy == pytest.approx(3e-4)
    assert (image.calibration_grade, image.verdict) == ("suspect", "suspect")
    assert any("32%" in reason for reason in image.verdict_reasons)
    assert any("median of the last good images" in reason for reason in image.verdict_reasons)
    assert context.store.products.measurement_set(GROUP).bad_antennas == BAD
