"""Self-calibration on a tile's own sources: kept where the noise falls, otherwise nothing changes."""

import numpy as np
import pytest
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from small_ms import SLOTS, make_ms, random_gains

from contimg.common.errors import BadInput
from contimg.formats.ms.columns import read_calibration_record
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.image import ImageOptions
from contimg.tile.selfcal.antenna_gains import solve_gains
from contimg.tile.selfcal.options import SelfcalOptions
from contimg.tile.selfcal.run import selfcal

PICTURED = ImageOptions(size=512, pixel_arcsec=6.0, min_uv_klambda=0.0, iterations=2000)
SOURCES = [(24.02, 33.42, lambda f: 8.0 + 0 * f), (23.85, 33.25, lambda f: 4.0 + 0 * f)]


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_gains_match_simulation(seed, phase_only):
    rng = np.random.default_rng(seed)
    size = np.ones((9, 2)) if phase_only else rng.uniform(0.7, 1.4, (9, 2))
    size /= size.mean(axis=0)
    true = size * np.exp(1j * rng.uniform(-np.pi, np.pi, (9, 2)))
    power = np.triu(rng.uniform(0.5, 2.0, (9, 9)), 1)[..., None] * np.ones(2)
    power[4] = power[:, 4] = 0
    sums = power * true[:, None] * true[None].conj()
    solved = solve_gains(sums, power, phase_only)
    assert np.array_equal(solved[4], [1, 1])
    alive = np.arange(9) != 4
    ratio = solved[alive] / true[alive]
    scale = np.abs(true[alive]).mean(axis=0)
    assert np.allclose(ratio * scale / (ratio * scale)[0], 1, atol=1e-5)
    assert np.allclose(np.abs(solved[alive]).mean(axis=0), 1)


def tile(calibrated, directory, turn_deg, grow=0.0):
    """A calibrated target whose antennas have turned and grown since the set was solved."""
    rng = np.random.default_rng(2)
    shape = (len(SLOTS), 1, 2)
    drift = np.exp(1j * np.deg2rad(turn_deg) * rng.normal(size=shape) + grow * rng.normal(size=shape))
    path = make_ms(directory / "target.ms", sources=SOURCES, gains=random_gains() * drift, noise=1.0, seed=6).path
    new = calibrated.done.new_set
    done = calibrate(path, [new], directory / "calibration", CalibrateOptions(min_apparent_jy=99.0))
    assert done.calibration_set == new.name
    return path, new


def corrected(path):
    with table(str(path), ack=False) as main:
        return main.getcol("CORRECTED_DATA"), main.getcol("FLAG"), read_calibration_record(main, "CORRECTED_DATA")


def test_selfcal_corrects_antenna_gains(calibrated, tmp_path):
    path, _ = tile(calibrated, tmp_path, 25.0, 0.15)
    sky = make_ms(tmp_path / "sky.ms", sources=SOURCES, noise=0.0).sky
    before, flags, _ = corrected(path)
    done = selfcal(path, SelfcalOptions(min_dynamic_range=5.0), PICTURED)
    assert [(round_.kind, round_.kept) for round_ in done.rounds] == [("phase", True), ("amplitude", True)]
    assert done.rounds[-1].after_jy < done.rounds[-1].before_jy < 0.7 * done.rounds[0].before_jy
    after, _, note = corrected(path)
    assert note["selfcal"] == ["phase", "amplitude"]
    good = ~flags

    def wrong(data):
        return np.abs(np.mean((data - sky) * np.conj(sky), axis=1, where=good)).mean()

    assert wrong(after) < 0.4 * wrong(before)
    assert not list(tmp_path.glob(".selfcal-*"))


@pytest.mark.long
def test_unhelpful_round_is_not_kept(calibrated, tmp_path):
    path, caltable_set = tile(calibrated, tmp_path, 0.0)
    before, flags, note = corrected(path)
    with table(str(path), readonly=False, ack=False) as main:
        flags[:, 20:30] = True  # by hand
        main.putcol("FLAG", flags)
    done = selfcal(path, SelfcalOptions(min_dynamic_range=5.0, least_gain=0.2), PICTURED, caltable_set)
    assert not done.changed
    assert len(done.rounds) == 1
    after, new_flags, new_note = corrected(path)
    assert np.array_equal(after, before)
    assert new_note == note
    assert np.array_equal(new_flags, flags)
    with table(str(path), ack=False) as main:
        assert main.getcol("FLAG_MANUAL")[:, 20:30].any()
        assert np.array_equal(main.getcol("FLAG_WRITTEN"), flags)


def test_faint_and_uncalibrated_tiles_are_unchanged(calibrated, tmp_path):
    path, caltable_set = tile(calibrated, tmp_path, 0.0)
    done = selfcal(path, SelfcalOptions(min_dynamic_range=1e6), PICTURED, caltable_set)
    assert (done.rounds, done.changed) == ((), False)
    assert "1e+06" in done.reason
    bare = make_ms(tmp_path / "bare.ms", sources=SOURCES).path
    with pytest.raises(BadInput, match=r"bare\.ms\b"):
        selfcal(bare, SelfcalOptions(), PICTURED, caltable_set)
