"""The flux scale of a tile from the ratios of its sources, and how far amplitudes that walk may follow it."""

import numpy as np
import pytest

from contimg.tile.calibrate.sky_gains.flux_scale import (
    CATALOGUE_ERROR,
    MAX_MEAN_CHANGE,
    MAX_UNTIED_CHANGE,
    FluxScale,
    average_ratios,
    choose_mean,
)

RECEPTORS = 192  # of 96 antennas
WALK = 2 * 0.12 / np.sqrt(RECEPTORS)  # of the fluxes, rms, where amplitudes have walked by 12 %


def change(scale, catalogue_ratio=1.0, scatter=0.12, error=0.0, receptors=RECEPTORS):
    """The factor by which the amplitudes' mean divides fluxes, as a logarithm."""
    return 2 * np.log(choose_mean(scale, catalogue_ratio, scatter, error, receptors)[0])


def test_wrong_source_does_not_move_the_scale():
    """The brightest of five sources is 30 % off in the catalogue; its noise is a tenth of the others'."""
    ratios = np.log(np.array([1.3, 1.01, 0.99, 1.0, 1.0]))
    scale = average_ratios(ratios, np.array([0.001, 0.01, 0.01, 0.01, 0.01]))
    assert scale.log_ratio == pytest.approx(0.0, abs=0.01)
    assert scale.error < 0.02
    assert scale.sources == 5


def test_error_follows_from_number_and_scatter():
    """The error is that of 400 simulated medians; without scatter it is that of the least catalogue error."""
    rng = np.random.default_rng(5)
    scales = [average_ratios(rng.normal(0.0, 0.2, 20), np.full(20, 0.01)) for _ in range(400)]
    assert np.median([scale.error for scale in scales]) == pytest.approx(
        np.std([scale.log_ratio for scale in scales]), rel=0.2
    )
    exact = average_ratios(np.zeros(16), np.full(16, 1e-4))
    assert exact.error == pytest.approx(np.sqrt(np.pi / 2) * CATALOGUE_ERROR / 4 * (1 + 2 / 16), rel=1e-3)
    assert average_ratios(np.zeros(0), np.zeros(0)) == FluxScale(0.0, np.inf, 0)


def test_random_errors_of_the_catalogue_leave_the_scale():
    """Eight sources are off by up to 30 % at random, 300 times: fluxes of 96 antennas change by less than 2 %."""
    rng = np.random.default_rng(8)
    draws = np.log(1 + rng.uniform(-0.3, 0.3, (300, 8)))
    changes = np.abs([change(average_ratios(ratios, np.full(8, 0.01))) for ratios in draws])
    assert np.quantile(changes, 0.99) < 0.02
    assert np.median(changes) < 0.002


def test_accurate_scale_is_followed_and_scattered_one_is_not():
    """Fluxes have walked by 3 %: 50 right sources correct it; a catalogue wrong by 30 % changes fluxes by under 2 %."""
    assert change(FluxScale(0.03, 0.003, 50)) == pytest.approx(0.03, rel=0.05)
    for log_ratio in np.linspace(-0.3, 0.3, 25):
        assert abs(change(FluxScale(float(log_ratio), 0.1, 8))) < 0.02
    assert change(FluxScale(0.3, 0.003, 50)) == 0.0


def test_change_has_limits():
    for log_ratio in np.linspace(-0.5, 0.5, 101):
        allowed = min(3 * np.hypot(WALK, 0.003), MAX_MEAN_CHANGE)
        assert abs(change(FluxScale(float(log_ratio), 0.003, 50))) <= allowed
        for scale, ratio in ((FluxScale(float(log_ratio), 0.003, 2), 1.0), (FluxScale(float(log_ratio), 0.0, 9), None)):
            assert abs(change(scale, ratio, scatter=0.3)) <= MAX_UNTIED_CHANGE + 1e-12
    assert change(FluxScale(0.0, np.inf, 0)) == 0.0
    assert change(FluxScale(0.02, 0.0, 9), error=0.12) == 0.0
