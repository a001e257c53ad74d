"""`contimg recalibrate`: a tile that a late set would change goes back into the queue, and no other."""

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from small_ms import make_ms, random_gains
from store_steps import register_file

from contimg.cli import contimg
from contimg.settings import Settings, load
from contimg.store import Stage, State, Store
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.products import ConvertedMS, TileImage

GROUP = "2026-02-22T23:17:51"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))

    def runs(*words):
        result = CliRunner().invoke(contimg, ["recalibrate", *words], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    return runs


@pytest.fixture
def store(run):
    opened = Store.of(load(Settings.from_environment()))
    yield opened
    opened.close()


@pytest.fixture
def uncalibrated(store, calibrated, tmp_path):
    """A tile that went through the chain before there was any set."""
    path = make_ms(tmp_path / f"{GROUP}.ms", sources=[(24.1, 33.5, lambda f: 2.0 + 0 * f)], gains=random_gains()).path
    done = calibrate(path, [], tmp_path / "calibration", CalibrateOptions(min_apparent_jy=50.0))
    assert done.calibration_set is None
    for subband in range(16):
        name = f"{GROUP}_sb{subband:02d}.hdf5"
        register_file(store, tmp_path / name, 1, 1.0)
    mjd = calibrated.done.new_set.mjd
    ms = ConvertedMS(path, mjd - 0.001, mjd + 0.001, 24.0, 33.4, 8, 192, 14, (), 0.0, 1)
    image = TileImage(
        fits_path=tmp_path / "a.fits", beam_fits_path=None, png_path=None, thumbnail_path=None, rms_jy=0.1, peak_jy=1.0,
        dynamic_range=10.0, beam_major_arcsec=20.0, beam_minor_arcsec=15.0, beam_angle_deg=0.0, ra_deg=24.0,
        dec_deg=33.4, mjd=mjd, freq_hz=1.4e9, pixels=64, cell_arcsec=6.0, calibration_set=None,
    )  # fmt: skip
    for stage, product in (
        (Stage.CONVERT, ms), (Stage.CALIBRATE, done), (Stage.IMAGE, image),
    ):  # fmt: skip
        store.leases.commit(store.leases.claim(GROUP, stage, "a"), [product])
    return path


def test_late_set_requeues_tile(run, store, uncalibrated, calibrated):
    assert GROUP not in run()
    store.registry.register(calibrated.done.new_set)
    name = calibrated.done.new_set.name
    assert any(name in event.text and "contimg recalibrate" in event.text for event in store.events.last(5))
    line = rf"{GROUP}\b.*{name}\b.*\bcalibrate\b.*\n"
    assert re.fullmatch(line, run("--dry-run"))
    assert store.files.group(GROUP).state == State.COMPLETED
    assert GROUP not in run("2026-01-01T00:00:00")
    assert re.fullmatch(line, run())
    group = store.files.group(GROUP)
    assert (group.state, group.stage) == (State.PENDING, Stage.CALIBRATE)
    assert [job.key for job in store.jobs.waiting(60)] == [GROUP]
    assert re.search(rf"{GROUP}\b.*\bpending\b", run())


def test_unfit_set_changes_nothing(run, store, uncalibrated, calibrated, tmp_path):
    misfit = replace(calibrated.done.new_set, first_freq_hz=1.2e9, directory=tmp_path / "other")
    misfit.directory.mkdir()
    misfit.write()
    for name in misfit.tables:
        (misfit.directory / name).symlink_to(calibrated.done.new_set.directory / name)
    store.registry.register(misfit)
    assert GROUP in run()
    assert store.files.group(GROUP).state == State.COMPLETED


def test_missing_measurement_set_is_converted_again(run, store, uncalibrated, calibrated):
    store.registry.register(calibrated.done.new_set)
    uncalibrated.rename(uncalibrated.with_suffix(".gone"))
    assert re.search(r"\bconvert\b", run())
    assert store.files.group(GROUP).stage == Stage.CONVERT
