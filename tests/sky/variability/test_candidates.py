"""The rule for candidates: what it selects, and what it must not."""

import numpy as np
import pytest
from scipy.stats import chi2

from contimg.sky.variability.candidates import Reason, eta_threshold, select
from contimg.sky.variability.normalisation import Normalisation
from contimg.sky.variability.options import CandidateRule
from contimg.sky.variability.statistics import FluxSums

RNG = np.random.default_rng(9)
MJD = 61000 + np.arange(20.0)
RMS_JY = 1e-3


def steady(sources: int = 300) -> np.ndarray:
    return 0.02 + RMS_JY * RNG.standard_normal((sources, MJD.size))


def test_variable_and_single_epoch() -> None:
    flux = steady()
    flux[0, 5:12] *= 0.7
    flux[1, 9] += 20 * RMS_JY
    candidates = select(FluxSums.of(flux, np.full(flux.shape, RMS_JY), MJD))
    assert candidates.index.tolist() == [0, 1]
    assert candidates.reason.tolist() == [Reason.VARIABLE, Reason.SINGLE_EPOCH]


def test_deviations_of_one_epoch_are_the_epochs() -> None:
    """A wrong epoch that its normalisation did not show: a tenth of the sources, all in the same one."""
    flux = steady()
    flux[:30, 9] += 20 * RMS_JY
    assert select(FluxSums.of(flux, np.full(flux.shape, RMS_JY), MJD)).index.size == 0


def test_few_epochs_make_no_candidate() -> None:
    flux = steady()[:, :4]
    flux[0] = [0.02, 0.04, 0.02, 0.04]
    sums = FluxSums.of(flux, np.full(flux.shape, RMS_JY), MJD[:4])
    assert select(sums).index.size == 0
    assert select(sums, CandidateRule(min_epochs=3)).index.tolist() == [0]


def test_small_variation_of_a_bright_source_is_below_v() -> None:
    flux = steady()
    flux[0] = 1.0 + 0.02 * RNG.standard_normal(MJD.size)
    sums = FluxSums.of(flux, np.full(flux.shape, RMS_JY), MJD)
    assert sums.eta[0] > 50
    assert select(sums).index.size == 0


def test_source_at_an_edge_is_no_candidate() -> None:
    """Fluxes 10 % off where a soft flag is set: with the error of such measurements they are steady."""
    flux, is_soft = steady() + 0.18, np.zeros((300, MJD.size), dtype=bool)
    is_soft[:40] = RNG.random((40, MJD.size)) < 0.3
    flux = np.where(is_soft, flux * RNG.uniform(0.85, 1.15, flux.shape), flux)
    sums = careless = FluxSums.empty(300)
    scale = Normalisation(1.0, 0.005, 0.0, 100, True, "")
    for epoch, mjd in enumerate(MJD):
        sums = sums.add(*scale.apply(flux[:, epoch], RMS_JY, is_soft[:, epoch]), mjd)
        careless = careless.add(*scale.apply(flux[:, epoch], RMS_JY), mjd)
    assert select(sums).index.size == 0
    assert select(careless).index.size > 5


def test_threshold_follows_chi_squared() -> None:
    thresholds = eta_threshold([5, 30, 1000], CandidateRule(probability=1e-4, min_eta=1.5))
    assert thresholds == pytest.approx([chi2.isf(1e-4, 3) / 3, chi2.isf(1e-4, 28) / 28, 1.5])
    steady_eta = FluxSums.of(steady(4000), np.full((4000, 20), RMS_JY), MJD).eta_without_extreme
    assert (steady_eta > eta_threshold(np.full(4000, 20), CandidateRule(min_eta=0.0))).sum() <= 3
