import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.tile.calibrate.solve.edits import fill_line, fit_delay_turns

CHANNELS = np.arange(768)


def bandpass(delay_s, seed=0):
    """A gain with a delay and a gentle ripple over native channels."""
    ripple = 1 + 0.2 * np.sin(2 * np.pi * CHANNELS / 90 + seed) + 0.1j * np.cos(2 * np.pi * CHANNELS / 130)
    return (1.3 * ripple * np.exp(2j * np.pi * (delay_s * 244140.625 * CHANNELS + 0.3))).astype(np.complex64)


@given(delay_us=st.floats(-1.7, 1.7), start=st.integers(5, 740), width=st.integers(1, 3))
def test_narrow_gap_is_filled_to_a_per_cent_at_any_delay(delay_us, start, width):
    truth = bandpass(delay_us * 1e-6)
    good = np.ones(768, dtype=bool)
    good[start : start + width] = False
    holed = np.where(good, truth, 0)
    new = fill_line(holed, good, 3)
    assert np.array_equal(new, ~good)
    assert np.abs(holed - truth).max() < 0.015


def test_wide_gaps_and_the_edges_stay_empty():
    good = np.ones(768, dtype=bool)
    good[:2] = good[100:104] = good[200:203] = good[-1:] = False
    holed = np.where(good, bandpass(0.0), 0)
    new = fill_line(holed, good, 3)
    assert np.flatnonzero(new).tolist() == [200, 201, 202]
    assert not holed[100:104].any()


@pytest.mark.parametrize("turns", [-0.41, -0.1, 0.0, 0.25, 0.4])
def test_delay_is_the_slope_of_the_phase(turns):
    gains = np.exp(2j * np.pi * turns * CHANNELS).astype(np.complex64)
    assert fit_delay_turns(gains, CHANNELS % 5 > 0) == pytest.approx(turns, abs=1 / (16 * 768))


def test_nothing_known_fills_nothing():
    assert not fill_line(np.zeros(8, np.complex64), np.zeros(8, bool), 3).any()
