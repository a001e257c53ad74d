"""Flux scale of an epoch against known factors, offsets, variable sources and wrong units."""

import numpy as np
import pytest

from contimg.sky.variability.normalisation import Normalisation, compute_medians, normalise, normalise_epoch

RNG = np.random.default_rng(5)


def epoch(sources: int = 200, factor: float = 1.05, offset: float = 0.0, rms: float = 3e-4) -> tuple[np.ndarray, ...]:
    reference = 10 ** RNG.uniform(-2, 0, sources)
    flux = factor * reference + offset + rms * RNG.standard_normal(sources)
    return flux, np.full(sources, rms), reference


def test_factor_is_recovered_within_its_error() -> None:
    pulls = []
    for _ in range(40):
        flux, error, reference = epoch(factor=1.05)
        result = normalise(flux * (1 + 0.015 * RNG.standard_normal(flux.size)), error, reference)
        assert result.accepted
        assert result.factor == pytest.approx(1.05, abs=0.01)
        pulls.append((result.factor - 1.05) / result.factor_error)
    assert 0.6 < np.std(pulls) < 1.4


def test_variable_sources_do_not_move_the_factor() -> None:
    flux, error, reference = epoch(factor=0.93)
    flux[::10] *= 1.6
    assert normalise(flux, error, reference).factor == pytest.approx(0.93, rel=0.01)


def test_offset_is_fitted_where_it_is_significant() -> None:
    flux, error, reference = epoch(factor=1.02, offset=-5e-4)
    result = normalise(flux, error, reference)
    assert result.offset_jy == pytest.approx(-5e-4, rel=0.3)
    assert normalise(*epoch(factor=1.02)).offset_jy == 0.0


def test_scatter_beyond_errors_is_measured() -> None:
    flux, error, reference = epoch(sources=400)
    assert normalise(flux, error, reference).scatter < 0.003
    scattered = normalise(flux * (1 + 0.03 * RNG.standard_normal(flux.size)), error, reference)
    assert scattered.scatter == pytest.approx(0.03, rel=0.2)
    flux_jy, error_jy = scattered.apply(flux, error)
    assert np.median(error_jy / flux_jy) > 0.9 * scattered.scatter


@pytest.mark.parametrize(
    ("change", "word"),
    [(lambda flux: flux[:2], "2 reference"), (lambda flux: flux * 1000, "mJy"), (lambda flux: flux * 0.3, "0.3"),
     (lambda flux: flux * RNG.uniform(0.6, 1.4, flux.size), "scatter")],
)  # fmt: skip
def test_wrong_epoch_is_refused_with_reason(change, word: str) -> None:
    flux, error, reference = epoch(factor=1.0)
    flux = change(flux)
    result = normalise(flux, error[: flux.size], reference[: flux.size])
    assert not result.accepted
    assert word in result.reason


def test_epoch_falls_back_to_catalogue_then_to_itself() -> None:
    flux, error, reference = epoch(factor=1.03)
    missing = np.full(flux.size, np.nan)
    options = {"ensemble_errors": missing}
    of_curves, of_catalogue = normalise_epoch(flux, error, ensemble=reference, catalogue=reference / 0.9, **options)
    assert of_curves.factor == pytest.approx(1.03, rel=0.01)
    assert of_catalogue.factor == pytest.approx(1.03 * 0.9, rel=0.01)
    of_curves, _ = normalise_epoch(flux, error, ensemble=missing, catalogue=reference, **options)
    assert of_curves.factor == pytest.approx(1.03, rel=0.01)
    of_curves, _ = normalise_epoch(flux, error, ensemble=missing, catalogue=missing, **options)
    assert (of_curves.accepted, of_curves.factor, of_curves.sources) == (True, 1.0, 0)
    few = np.where(np.arange(flux.size) < 2, reference, np.nan)
    assert not normalise_epoch(flux, error, ensemble=few, catalogue=missing, **options)[0].accepted


def test_applied_scale_is_the_inverse_of_the_measured() -> None:
    flux, error = Normalisation(1.1, 0.01, 1e-3, 20, True, "").apply(1.1 * 0.5 + 1e-3, 1.1e-3)
    assert flux == pytest.approx(0.5)
    assert error == pytest.approx(np.hypot(1e-3, 5e-3))


def test_medians_need_enough_epochs() -> None:
    flux = np.array([[1.0, 2.0, 30.0], [1.0, np.nan, 3.0]])
    medians, errors = compute_medians(flux)
    assert medians[0] == 2.0
    assert np.isnan(medians[1])
    assert errors[0] == pytest.approx(1.2533 * 1.4826 / np.sqrt(3), rel=1e-4)
