"""Detections against sources on the sphere, and the noise of earlier epochs at their positions."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg.common.errors import BadInput
from contimg.sky.variability.association import (
    Novelty,
    Positions,
    associate,
    judge_novelty,
    read_noise_at,
)
from contimg.sky.variability.options import AssociationOptions

RNG = np.random.default_rng(7)
BEAM_ARCSEC = 30.0


def write_noise(path: Path, ra_deg: float, rms_jy: float, blank_columns: int = 0) -> Path:
    data = np.full((200, 400), rms_jy, dtype=np.float32)
    data[:, :blank_columns] = np.nan
    header = fits.Header()
    header.update(
        CTYPE1="RA---SIN", CTYPE2="DEC--SIN", CRVAL1=ra_deg, CRVAL2=16.0, CRPIX1=200.5, CRPIX2=100.5,
        CDELT1=-6 / 3600, CDELT2=6 / 3600, CUNIT1="deg", CUNIT2="deg",
    )  # fmt: skip
    fits.writeto(path, data, header)
    return path


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(0.0, 16.0), (120.0, 54.0), (40.0, 89.9)])
def test_each_detection_finds_its_source(ra_deg: float, dec_deg: float) -> None:
    """Also on both sides of right ascension 0h, and near the pole where right ascensions differ by degrees."""
    north = np.arange(50) * 0.1 / 50
    east = RNG.uniform(-0.5, 0.5, 50) if dec_deg < 80 else np.zeros(50)
    ra, dec = (ra_deg + east) % 360, dec_deg - north
    shift = 0.8 / 3600 * RNG.standard_normal((2, 50))
    detected_ra = (ra + shift[0] / np.cos(np.deg2rad(dec))) % 360
    pairs = associate(Positions.of(detected_ra, dec + shift[1], 0.5), Positions.of(ra, dec, 0.5), BEAM_ARCSEC)
    assert pairs.has_source.all()
    assert (pairs.source[pairs.is_nearest] == np.arange(50)).mean() > 0.9
    assert pairs.separation_arcsec[pairs.is_nearest].max() < 5


def test_source_degrees_away_is_no_counterpart() -> None:
    pairs = associate(Positions.of([359.9999, 0.5], [16.0, 16.0]), Positions.of([0.0001], [16.0]), BEAM_ARCSEC)
    assert pairs.has_source.tolist() == [True, False]
    assert pairs.separation_arcsec[0] == pytest.approx(0.0002 * 3600 * np.cos(np.deg2rad(16)), rel=1e-6)


def test_systematic_error_keeps_a_bright_source_one() -> None:
    """Statistical errors of 0.01 arcsec and a shift of 2: one source, unless the systematic part is left out."""
    bright, shifted = Positions.of([10.0], [16.0], 0.01), Positions.of([10.0], [16.0 + 2 / 3600], 0.01)
    strict = {"same_beams": 0.0}
    assert associate(shifted, bright, BEAM_ARCSEC, AssociationOptions(**strict)).has_source.all()
    options = AssociationOptions(systematic_arcsec=0.0, **strict)
    assert not associate(shifted, bright, BEAM_ARCSEC, options).has_source.any()


def test_one_to_many_is_kept() -> None:
    sources = Positions.of([10.0, 10.0, 10.0], [16.0 - 4 / 3600, 16.0 + 3 / 3600, 16.1], 1.0)
    pairs = associate(Positions.of([10.0], [16.0], 1.0), sources, BEAM_ARCSEC)
    assert pairs.detection.tolist() == [0, 0]
    assert pairs.source.tolist() == [1, 0]
    assert pairs.is_nearest.tolist() == [True, False]


def test_nothing_to_associate() -> None:
    assert associate(Positions.of([], []), Positions.of([1.0], [2.0]), BEAM_ARCSEC).has_source.size == 0
    assert not associate(Positions.of([1.0], [2.0]), Positions.of([], []), BEAM_ARCSEC).has_source.any()


def test_noise_at_positions_across_ra_0h(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "m.rms.fits", 0.0, 1e-3, blank_columns=50)
    noise = read_noise_at(path, [0.1, 359.9, 0.32, 180.0, 359.0], [16.0, 16.0, 16.0, -16.0, 16.0])
    assert noise[:2] == pytest.approx(1e-3)
    assert np.isnan(noise[2:]).all()  # blank, the far side of the sphere, outside
    with pytest.raises(BadInput, match="cannot be read"):
        read_noise_at(tmp_path / "missing.rms.fits", [0.0], [16.0])


def test_new_only_where_an_earlier_epoch_could_have_shown_it(tmp_path: Path) -> None:
    deep, shallow = write_noise(tmp_path / "deep.fits", 10.0, 1e-3), write_noise(tmp_path / "shallow.fits", 10.0, 5e-3)
    flux, ra, dec = [0.02, 0.008, 0.02], [10.0, 10.0, 14.0], [16.0, 16.0, 16.0]
    novelty, epochs = judge_novelty(flux, 1e-3, ra, dec, [deep, shallow])
    assert novelty.tolist() == [Novelty.NEW, Novelty.TOO_FAINT, Novelty.NOT_COVERED]
    assert epochs.tolist() == [1, 0, 0]
    assert judge_novelty(flux, 1e-3, ra, dec, [])[0].tolist() == ["not covered"] * 3
