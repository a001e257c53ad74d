"""The solver of antenna gains, on data made from known gains and against a plain least-squares fit."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from contimg.tile.calibrate.solve.stefcal import solve_gains

ANTENNAS = 20
ANT1, ANT2 = np.triu_indices(ANTENNAS, 1)


def make_gains(batch, seed=1):
    rng = np.random.default_rng(seed)
    amplitudes = rng.uniform(0.7, 1.4, (batch, ANTENNAS))
    return amplitudes * np.exp(2j * np.pi * rng.uniform(size=(batch, ANTENNAS)))


def observe(gains, noise, model=1.0, seed=2):
    """Visibilities of these gains, with noise of this rms in the real and in the imaginary part."""
    rng = np.random.default_rng(seed)
    visibilities = gains[:, ANT1] * gains[:, ANT2].conj() * model
    return visibilities + noise * (rng.normal(size=visibilities.shape) + 1j * rng.normal(size=visibilities.shape))


def refer(gains, slot=0):
    return gains * np.exp(-1j * np.angle(gains[:, slot : slot + 1]))


def solve(visibilities, model=1.0, weights=1.0, **options):
    return solve_gains(visibilities, model, weights, ANT1, ANT2, ANTENNAS, **{"reference_antenna": 0, **options})


def test_gains_without_noise_are_exact():
    rng = np.random.default_rng(3)
    model = rng.uniform(1, 5, (6, ANT1.size)) * np.exp(2j * np.pi * rng.uniform(size=(6, ANT1.size)))
    gains = make_gains(6)
    solutions = solve(observe(gains, 0.0, model), model)
    assert not solutions.flagged.any()
    assert np.abs(solutions.gains - refer(gains)).max() < 1e-4
    assert solutions.iterations.max() < 100


def test_errors_follow_from_signal_to_noise_and_chi2_is_one():
    gains = make_gains(400)
    solutions = solve(observe(gains, 0.3), weights=1 / 0.3**2, robust=False)
    ratio = solutions.gains / refer(gains)
    assert np.median(solutions.chi2) == pytest.approx(1.0, abs=0.02)
    normalised = (np.abs(ratio) - 1) * solutions.snr
    assert np.std(normalised) == pytest.approx(1.0, abs=0.1)
    # The phase has the error of the reference antenna as well.
    normalised = np.angle(ratio)[:, 1:] / np.hypot(1 / solutions.snr[:, 1:], 1 / solutions.snr[:, :1])
    assert np.std(normalised) == pytest.approx(1.0, abs=0.1)
    scaled = solve(observe(gains, 0.3), weights=100.0, robust=False)
    assert np.allclose(scaled.snr, solutions.snr, rtol=1e-3)


def test_gains_equal_a_least_squares_fit_with_weights_and_flags():
    gains = make_gains(1)
    visibilities = observe(gains, 0.2)
    weights = np.random.default_rng(4).uniform(0.2, 3.0, visibilities.shape)
    weights[:, ::7] = 0
    visibilities[:, 7] = np.nan
    visibilities[:, 14] = 1e6

    def residuals(parameters):
        fitted = parameters[:ANTENNAS] + 1j * parameters[ANTENNAS:]
        error = np.sqrt(weights[0]) * (np.nan_to_num(visibilities[0]) - fitted[ANT1] * fitted[ANT2].conj())
        return np.concatenate([error.real, error.imag])

    solutions = solve(visibilities, weights=weights, robust=False)
    start = refer(gains)[0]
    fit = least_squares(residuals, np.concatenate([start.real, start.imag]), xtol=1e-12, ftol=1e-12).x
    fitted = (fit[:ANTENNAS] + 1j * fit[ANTENNAS:])[None]
    assert np.abs(solutions.gains - refer(fitted)).max() < 1e-4


def test_phase_only_gains_have_amplitude_one():
    gains = make_gains(50)
    gains /= np.abs(gains)
    solutions = solve(observe(gains, 0.3), phase_only=True)
    assert np.abs(solutions.gains) == pytest.approx(1.0)
    error = np.angle(solutions.gains / refer(gains))[:, 1:]
    assert np.std(error / np.hypot(1 / solutions.snr[:, 1:], 1 / solutions.snr[:, :1])) == pytest.approx(1, abs=0.1)


def test_outliers_are_clipped():
    gains = make_gains(30)
    visibilities = observe(gains, 0.05)
    bad = np.random.default_rng(5).uniform(size=visibilities.shape) < 0.05
    visibilities[bad] += 5.0
    plain, robust = (solve(visibilities, robust=robust) for robust in (False, True))
    errors = [np.std(np.abs(solutions.gains / refer(gains))) for solutions in (plain, robust)]
    assert errors[1] < 0.015 < 0.08 < errors[0]
    assert not robust.flagged.any()


def test_antenna_whose_samples_are_mostly_outliers_is_flagged():
    gains = make_gains(10)
    visibilities = observe(gains, 0.02)
    is_of_antenna = (ANT1 == 5) | (ANT2 == 5)
    rng = np.random.default_rng(6)
    visibilities[:, is_of_antenna] += 3 * np.exp(2j * np.pi * rng.uniform(size=(10, is_of_antenna.sum())))
    solutions = solve(visibilities)
    assert solutions.flagged[:, 5].all()
    assert np.delete(solutions.flagged, 5, axis=1).mean() < 0.02
    assert (solutions.snr[solutions.flagged] == 0).all()


def test_antennas_without_enough_baselines_are_flagged():
    gains = make_gains(2)
    weights = np.ones((2, ANT1.size))
    weights[0, (ANT1 == 3) | (ANT2 == 3)] = 0
    weights[1, np.flatnonzero((ANT1 == 0) | (ANT2 == 0))[3:]] = 0  # the reference antenna keeps three
    solutions = solve(observe(gains, 0.01), weights=weights)
    assert np.argwhere(solutions.flagged).tolist() == [[0, 3], [1, 0]]
    own = int(np.argmin(np.abs(np.angle(solutions.gains[1, 1:])))) + 1
    assert np.abs(solutions.gains[1, 1:] - refer(gains, own)[1, 1:]).max() < 0.05
    nothing = solve(observe(gains, 0.01), weights=0.0)
    assert nothing.flagged.all()
    assert np.isnan(nothing.chi2).all()
    assert (nothing.gains == 1).all()


def test_samples_of_one_baseline_are_added():
    gains = make_gains(1)
    first, second = (observe(gains, 0.2, seed=seed) for seed in (8, 9))
    doubled = solve_gains(
        np.concatenate([first, second], axis=1), 1.0, 1.0, np.tile(ANT1, 2), np.tile(ANT2, 2), ANTENNAS,
        reference_antenna=0, robust=False,
    )  # fmt: skip
    mean = solve(0.5 * (first + second), robust=False)
    assert np.abs(doubled.gains - mean.gains).max() < 1e-5
