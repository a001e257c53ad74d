"""Running sums of fluxes against the formulas over whole light curves."""

import numpy as np
import pytest

from contimg.sky.variability.statistics import FluxSums, two_epoch_m, two_epoch_vs

RNG = np.random.default_rng(3)
MJD = 61000 + np.arange(30.0)


def light_curves(sources: int = 50, mean_jy: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    error = RNG.uniform(0.5e-3, 2e-3, (sources, MJD.size))
    return mean_jy + error * RNG.standard_normal(error.shape), error


def test_statistics_are_those_of_whole_light_curves() -> None:
    flux, error = light_curves()
    flux[3, 4:9] = np.nan
    sums, weight = FluxSums.of(flux, error, MJD), np.where(np.isfinite(flux), error**-2.0, 0.0)
    mean = np.nansum(weight * flux, axis=1) / weight.sum(axis=1)
    count = np.isfinite(flux).sum(axis=1)
    chi2 = np.nansum(weight * (flux - mean[:, None]) ** 2, axis=1)
    assert sums.n.tolist() == count.tolist()
    assert np.allclose(sums.eta, chi2 / (count - 1), rtol=1e-10)
    assert np.allclose(sums.weighted_mean_jy, mean, rtol=1e-12)
    assert np.allclose(sums.modulation_index, np.nanstd(flux, axis=1, ddof=1) / np.nanmean(flux, axis=1), rtol=1e-10)
    slope, covariance = np.polyfit(MJD - 61000, flux[0], 1, w=1 / error[0], cov="unscaled")
    assert sums.trend_jy_per_day[0] == pytest.approx(slope[0], rel=1e-8)
    assert sums.trend_error_jy_per_day[0] == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-8)
    assert sums.last_jy[0] == flux[0, -1]
    assert sums.first_mjd[0] == MJD[0]


def test_bright_source_keeps_its_digits() -> None:
    """A flux of 20 Jy with variations of 1 µJy: sums of S² itself would have lost them."""
    flux = 20.0 + 1e-6 * RNG.standard_normal((5, 400))
    sums = FluxSums.of(flux, np.full(flux.shape, 1e-6), np.arange(400.0) + 61000)
    expected = np.var(flux, axis=1, ddof=1) / 1e-12
    assert np.allclose(sums.eta, expected, rtol=1e-6)


def test_order_of_time_does_not_matter() -> None:
    flux, error = light_curves()
    order = RNG.permutation(MJD.size)
    sums, shuffled = FluxSums.of(flux, error, MJD), FluxSums.of(flux[:, order], error[:, order], MJD[order])
    for name in ("eta", "modulation_index", "vs", "m", "last_jy", "first_mjd", "trend_jy_per_day"):
        assert np.allclose(getattr(sums, name), getattr(shuffled, name), rtol=1e-9), name


def test_removed_measurement_is_replaced() -> None:
    flux, error = light_curves()
    sums, stale = FluxSums.of(flux, error, MJD).remove(flux[:, 10], error[:, 10], MJD[10])
    assert stale.tolist() == ((sums.high_jy == flux[:, 10]) | (sums.low_jy == flux[:, 10])).tolist()
    replaced = sums.add(flux[:, 10] + 1e-3, error[:, 10], MJD[10])
    flux[:, 10] += 1e-3
    expected = FluxSums.of(flux, error, MJD)
    assert np.allclose(replaced.eta, expected.eta, rtol=1e-9)
    assert np.allclose(replaced.trend_jy_per_day, expected.trend_jy_per_day, rtol=1e-7)


def test_source_without_measurements_is_as_if_never_measured() -> None:
    sums, stale = FluxSums.empty(2).add([1.0, np.nan], [0.1, 0.1], 61000.0).remove([1.0, np.nan], [0.1, 0.1], 61000.0)
    assert not stale.any()
    assert sums.n.tolist() == [0, 0]
    assert sums.reference_jy.tolist() == [0.0, 0.0]
    assert np.isnan(sums.high_jy).all()
    assert np.isnan(sums.eta).all()
    assert np.isnan(sums.mean_jy).all()
    assert np.isnan(sums.vs).all()


def test_vs_is_largest_of_all_pairs_with_equal_errors() -> None:
    flux = RNG.standard_normal((20, 12)) * 1e-3 + 0.01
    sums = FluxSums.of(flux, np.full(flux.shape, 1e-3), np.arange(12.0))
    pairs = two_epoch_vs(flux[:, :, None], 1e-3, flux[:, None, :], 1e-3)
    assert np.allclose(sums.vs, pairs.max(axis=(1, 2)))
    assert np.allclose(sums.m, two_epoch_m(flux.max(axis=1), flux.min(axis=1)))


def test_two_epochs() -> None:
    assert two_epoch_vs(10.0, 3.0, 5.0, 4.0) == pytest.approx(1.0)
    assert two_epoch_m(3.0, 1.0) == pytest.approx(1.0)
    assert np.isnan(two_epoch_m(-3.0, 1.0))


def test_single_wrong_measurement_does_not_raise_eta_without_extreme() -> None:
    flux, error = light_curves()
    flux[:, 7] += 20 * error[:, 7]
    sums = FluxSums.of(flux, error, MJD)
    assert (sums.eta > 5).all()
    assert (sums.eta_without_extreme < 3).all()

    def eta_without(index: np.ndarray) -> np.ndarray:
        keep = np.arange(MJD.size) != index[:, None]
        return FluxSums.of(flux[keep].reshape(-1, 29), error[keep].reshape(-1, 29), MJD[1:]).eta

    expected = np.minimum(eta_without((flux - error).argmax(axis=1)), eta_without((flux + error).argmin(axis=1)))
    assert np.allclose(sums.eta_without_extreme, expected)
