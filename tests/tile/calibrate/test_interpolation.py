"""Gains between two caltable sets, without tables."""

import numpy as np
import pytest

from contimg.tile.calibrate.interpolation import measure_gain_change

SLOTS, CHANNELS = 20, 64
FREQS_GHZ = np.linspace(1.3, 1.5, CHANNELS)


def inverse_gains(phase_rad, amplitude=1.0, seed=4, delay_ns=0.0):
    """A random bandpass with phases and amplitudes by antenna and receptor, inverted."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0.5, 2.0, (SLOTS, CHANNELS, 2)) * np.exp(2j * np.pi * rng.random((SLOTS, CHANNELS, 2)))
    delays = delay_ns * np.arange(SLOTS)[:, None, None] * FREQS_GHZ[:, None]
    gains = shape * amplitude * np.exp(1j * phase_rad)[:, None, :] * np.exp(2j * np.pi * delays)
    return (1 / gains).astype(np.complex64)


@pytest.fixture
def turned():
    phases = np.deg2rad(np.random.default_rng(1).uniform(-50, 50, (SLOTS, 2)))
    phases[3] = 0.0
    return phases


@pytest.mark.parametrize("part", [0.0, 0.25, 0.5, 1.0])
def test_phase_and_amplitude_are_linear(turned, part):
    change = measure_gain_change(inverse_gains(np.zeros_like(turned)), inverse_gains(turned, 1.2), reference=3)
    assert change.problem == ""
    np.testing.assert_allclose(
        change.gains_at(part), (1 + 0.2 * part) * np.exp(1j * part * turned), rtol=1e-5, atol=1e-6
    )


def test_reference_antenna_of_second_set_does_not_matter(turned):
    first, second = inverse_gains(np.zeros_like(turned)), inverse_gains(turned - turned[7])
    phases = measure_gain_change(first, second, reference=3).phase_rad
    np.testing.assert_allclose(np.exp(1j * phases), np.exp(1j * turned), atol=1e-5)


def test_antenna_without_solution_keeps_first_set(turned):
    second = inverse_gains(turned)
    second[5] = np.nan
    second[6, ::2] = np.nan
    factors = measure_gain_change(inverse_gains(np.zeros_like(turned)), second, reference=3).gains_at(1.0)
    np.testing.assert_allclose(factors[5], 1.0)
    np.testing.assert_allclose(factors[6], np.exp(1j * turned[6]), atol=1e-5)


def test_sets_that_differ_too_much_are_not_interpolated(turned):
    same = inverse_gains(np.zeros_like(turned))
    restarted = 2 * np.pi * np.random.default_rng(2).random((SLOTS, 2))
    assert "deg" in measure_gain_change(same, inverse_gains(restarted), reference=3).problem
    assert "delays" in measure_gain_change(same, inverse_gains(turned, delay_ns=7.0), reference=3).problem
    nothing = np.full_like(same, np.nan)
    assert measure_gain_change(same, nothing, reference=3).problem == "no solution in common"
