"""Calibrators are chosen by the signal to noise of their gains; neighbours come from the reference catalogue."""

from dataclasses import replace

import numpy as np
import pytest
from casacore.tables import table
from small_ms import make_ms, random_gains

from contimg.formats.ms.info import read_ms_info
from contimg.instrument import calibrators
from contimg.instrument.calibrators import Calibrator, catalogue, min_flux_jy
from contimg.instrument.dsa110 import SEFD_JY, stations
from contimg.sky.catalogue import Provenance, write_catalogue
from contimg.sky.catalogue.sources import CatalogueSources
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.selection import (
    compare_with_catalogue,
    compute_min_calibrator_jy,
    merge_sources,
    read_neighbours,
    select_calibrators,
    with_companions,
    without_counterpart,
)

RA_DEG, DEC_DEG = 24.42208096, 33.15975916
PROVENANCE = Provenance(name="site", kind="survey", frequency_hz=1.4e9, beam_deg=0.0125, flux_limit_jy=0.0025)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    return read_ms_info(make_ms(tmp_path_factory.mktemp("tile") / "tile.ms", sources=[]).path)


@pytest.fixture
def catalogue_path(tmp_path):
    """3C48, two neighbours at 1 and 0.2 Jy, and one that is too faint, at 1.4 GHz."""
    sources = CatalogueSources.of(
        1.4e9, ["3C48 again", "near", "weak", "faint"], RA_DEG + np.array([0.001, 0.5, -0.4, 0.3]),
        DEC_DEG + np.array([0.0, 0.2, 0.1, -0.2]), [16.5, 1.0, 0.2, 0.001], spectral_index=-0.8,
    )  # fmt: skip
    path = tmp_path / "site.catalogue"
    write_catalogue(path, sources, PROVENANCE, confusion_beam_deg=0.0125)
    return path


def test_flux_for_a_signal_to_noise_is_that_of_simulated_gains():
    """Gains of random noise over that flux scatter by a tenth, for 40 antennas."""
    antennas, width_hz, exposure_s = 40, 244140.625, 309.0
    flux_jy = min_flux_jy(10.0, antennas, width_hz, exposure_s, sefd_jy=6500.0)
    rng = np.random.default_rng(7)
    noise_jy = 6500.0 / np.sqrt(2 * width_hz * exposure_s)
    samples = flux_jy + noise_jy * rng.standard_normal((4000, antennas - 1))
    gains = samples.mean(axis=1) / flux_jy  # of one antenna, the others known
    assert gains.std() == pytest.approx(0.1, rel=0.05)
    assert min_flux_jy(10.0, 96, width_hz, exposure_s) == pytest.approx(0.54, abs=0.01)
    assert min_flux_jy(10.0, 1, width_hz, exposure_s) == np.inf


def test_source_of_two_jansky_is_used_by_an_array_of_ninety_six(tile):
    ra, dec = tile.pointing_rad[0]
    source = Calibrator("two", "", ra, dec, 2.2, -0.7, "P")
    full = replace(tile, exposure_s=309.0)
    assert select_calibrators(tile, 0.7, compute_min_calibrator_jy(full, 96, 10.0), [source])
    assert not select_calibrators(tile, 0.7, compute_min_calibrator_jy(full, 5, 10.0), [source])
    unknown = replace(tile, telescope="elsewhere")
    assert not select_calibrators(tile, 0.7, compute_min_calibrator_jy(unknown, 96, 10.0), [source])


def test_neighbours_of_the_catalogue_are_in_the_model(tile, catalogue_path):
    neighbours = read_neighbours(catalogue_path, *tile.pointing_rad[0])
    assert [source.name for source in neighbours if source.name == "faint"] == []
    (main,) = select_calibrators(tile, 0.5, 3.0)
    model = with_companions(tile, main, merge_sources(catalogue(), neighbours, tile))
    names = [candidate.calibrator.label for candidate in model]
    assert names[0] == "3C48"
    assert {"near", "weak"} <= set(names)
    assert "3C48 again" not in names, "the calibrator's own entry gives way"
    near = next(candidate.calibrator for candidate in model if candidate.calibrator.name == "near")
    assert near.flux_jy(1.4e9) == pytest.approx(1.0, rel=1e-6)
    assert near.flux_jy(1.5e9) == pytest.approx((1.5 / 1.4) ** -0.8, rel=1e-6)


def test_calibrator_is_compared_with_the_catalogue(tile, catalogue_path):
    (main,) = select_calibrators(tile, 0.5, 3.0)
    freq_hz = float(tile.freqs_hz.mean())
    listed = main.calibrator
    flux_jy = 1.05 * float(listed.flux_jy(freq_hz))
    own = Calibrator("own", "", listed.ra_rad, listed.dec_rad, flux_jy * (1.45e9 / freq_hz) ** -0.7, -0.7, "?")
    compared = compare_with_catalogue(main, [own], tile, "sky 1")
    assert compared.catalogue == "sky 1"
    assert compared.catalogue_flux_ratio == pytest.approx(1.05, abs=1e-3)
    variable = replace(main, calibrator=replace(listed, variable=True))
    assert compare_with_catalogue(variable, [own], tile, "sky 1").catalogue_flux_ratio is None
    neighbours = [source for source in read_neighbours(catalogue_path, *tile.pointing_rad[0]) if source.name == "near"]
    assert compare_with_catalogue(main, neighbours, tile, "sky 1").catalogue_flux_ratio is None


def test_calibrator_that_the_catalogue_lacks_is_not_used(tile, catalogue_path):
    neighbours = read_neighbours(catalogue_path, *tile.pointing_rad[0])
    (main,) = select_calibrators(tile, 0.5, 3.0)
    absent = Calibrator("absent", "", main.calibrator.ra_rad + 0.02, main.calibrator.dec_rad, 5.0, -0.7, "P")
    assert not without_counterpart(main.calibrator, neighbours)
    assert without_counterpart(absent, neighbours)
    assert not without_counterpart(absent, []), "outside the survey"


def test_source_of_two_jansky_calibrates(tmp_path, monkeypatch):
    """A transit of 2.2 Jy with the noise of 24 antennas: gains of S/N 10 in a channel, and fluxes within 2 %.

    Its limit would be 1.9 Jy by the noise; 3 Jy were needed before.
    """
    slots = tuple(station.number for station in stations()[:96:4])
    gains = random_gains(slots=slots)
    noise_jy = SEFD_JY / np.sqrt(2 * 244140.625 * 12.884902)
    shape = {"gains": gains, "slots": slots, "noise": noise_jy}
    transit = make_ms(tmp_path / "2026-02-22T23:17:51.ms", sources=[(24.0, 33.4, lambda f: 2.2 + 0 * f)], **shape)
    source = Calibrator("faint", "", *np.deg2rad([24.0, 33.4]), 2.2, 0.0, "P")
    monkeypatch.setattr(calibrators, "catalogue", lambda: (source,))
    options = CalibrateOptions(flag=False)
    solved = calibrate(transit.path, [], tmp_path / "sets", options).new_set
    assert solved is not None
    assert solved.grade == "good"
    assert solved.quality["bandpass_snr"] > 8
    rows = [(24.3, 33.6, lambda f: 3.0 + 0 * f)]
    target = make_ms(tmp_path / "2026-02-22T23:40:00.ms", sources=rows, seed=4, **shape)
    assert calibrate(target.path, [solved], tmp_path / "sets", options.replace(solve=False)).calibration_set
    with table(str(target.path), ack=False) as main:
        data, is_good = main.getcol("CORRECTED_DATA"), ~main.getcol("FLAG")
        is_good &= (main.getcol("ANTENNA1") != main.getcol("ANTENNA2"))[:, None, None]
    product = (data * np.conj(target.sky)).real[is_good].sum() / (np.abs(target.sky[is_good]) ** 2).sum()
    assert product == pytest.approx(1.0, abs=0.02)
