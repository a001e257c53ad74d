"""Flux scale of an epoch against its reference sources: one factor and offset by robust regression.

The measured flux is modelled as factor · reference + offset. Divided by the reference flux this is a straight line in
1/reference, fitted with Huber's weights (Huber 1981, Robust Statistics, ch. 7), so that variable and wrong sources have
a bounded influence.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.sky.comparison.statistics import compute_weighted_median
from contimg.sky.variability.options import NormalisationOptions

Values = NDArray[np.float64]
SOFT_ERROR = 0.1  # relative error of a measurement with a soft flag, such as an edge or a blend, that no noise shows
_HUBER = 1.345  # 95 % efficiency for Gaussian residuals
_ITERATIONS = 50
_CLIP, _CLIPPED_VARIANCE = 2.0, 0.9205  # of residuals in the scatter, and E[min(z², 4)] of a Gaussian z
_MIN_OFFSET_SOURCES, _MIN_OFFSET_RANGE, _MIN_OFFSET_SIGMA = 10, 3.0, 3.0
_MIN_SCATTER_SOURCES = 5


@dataclass(frozen=True)
class Normalisation:
    """Flux scale of an epoch: measured = factor · reference + offset.

    Attributes
    ----------
    factor, factor_error : scale of the epoch and its standard error.
    offset_jy : level of the epoch; 0 where it is not significant.
    sources : number of reference sources.
    accepted : whether the epoch's measurements may enter light curves.
    reason : why they may not, or what the scale rests on.
    scatter : relative scatter of the references about the fit beyond their errors.
    """

    factor: float
    factor_error: float
    offset_jy: float
    sources: int
    accepted: bool
    reason: str
    scatter: float = 0.0

    @property
    def systematic(self) -> float:
        """Relative systematic error of each measurement: the factor's error and the references' scatter."""
        return float(np.hypot(self.factor_error, self.scatter))

    def apply(self, flux_jy: ArrayLike, error_jy: ArrayLike, is_soft: ArrayLike = False) -> tuple[Values, Values]:
        """Return fluxes and errors on the reference's scale, with the systematic error of the epoch.

        Parameters
        ----------
        flux_jy, error_jy : as measured, shape (sources,).
        is_soft : whether a soft flag is set: these have the relative error `SOFT_ERROR` besides, so that they count
            for less and none is left out.
        """
        flux = (np.asarray(flux_jy, dtype=np.float64) - self.offset_jy) / self.factor
        relative = np.hypot(self.systematic, np.where(is_soft, SOFT_ERROR, 0.0))
        return flux, np.hypot(np.asarray(error_jy, dtype=np.float64) / self.factor, relative * flux)


def normalise(
    fluxes: ArrayLike, errors: ArrayLike, reference: ArrayLike, reference_errors: ArrayLike = 0.0,
    options: NormalisationOptions | None = None,
) -> Normalisation:  # fmt: skip
    """Fit the flux scale of an epoch against reference fluxes.

    Parameters
    ----------
    fluxes, errors : measured in the epoch, Jy, shape (sources,).
    reference, reference_errors : of the same sources, Jy: medians or means of earlier epochs, or the catalogue's
        fluxes; NaN where a source is no reference.
    options : limits.

    Returns
    -------
    The normalisation; one that is not accepted has the reason, with value and limit.
    """
    options = options or NormalisationOptions()
    arrays = np.broadcast_arrays(*(np.asarray(values, float) for values in (fluxes, errors, reference)))
    flux, error, expected = (values.ravel() for values in arrays)
    expected_error = np.nan_to_num(np.broadcast_to(np.asarray(reference_errors, float), arrays[0].shape).ravel())
    with np.errstate(invalid="ignore"):
        is_reference = np.isfinite(flux) & (error > 0) & (expected > options.reference_min_snr * error)
    flux, error, expected = flux[is_reference], error[is_reference], expected[is_reference]
    if flux.size < options.reference_min_sources:
        reason = f"{flux.size} reference sources (minimum {options.reference_min_sources})"
        return Normalisation(1.0, np.nan, 0.0, int(flux.size), False, reason)
    ratio, relative_error = flux / expected, np.hypot(error, expected_error[is_reference]) / expected
    floor = np.full(ratio.size, options.reference_floor)
    factor, factor_error, offset = _fit_scale(ratio, np.hypot(relative_error, floor), 1 / expected)
    scatter = 0.0
    for _ in range(3):  # the scatter belongs to the errors of the fit, and the fit to the scatter
        scatter = _fit_scatter(ratio - factor - offset / expected, relative_error)
        total = np.sqrt(relative_error**2 + np.maximum(scatter, floor) ** 2)
        factor, factor_error, offset = _fit_scale(ratio, total, 1 / expected)
    reason = _refuse(factor, factor_error, scatter, options)
    return Normalisation(factor, factor_error, offset, int(flux.size), not reason, reason, scatter)


def normalise_epoch(
    fluxes: ArrayLike, errors: ArrayLike, *, ensemble: ArrayLike, ensemble_errors: ArrayLike, catalogue: ArrayLike,
    catalogue_errors: ArrayLike = 0.0, options: NormalisationOptions | None = None,
) -> tuple[Normalisation, Normalisation]:  # fmt: skip
    """Return the normalisation of an epoch that its light curves use, and the one against the catalogue alone.

    The first rests on earlier epochs where these give enough references, otherwise on the catalogue. An epoch without
    earlier epochs and without a catalogue defines the scale: factor 1 with the largest error that is accepted.

    Parameters
    ----------
    fluxes, errors : measured in the epoch, Jy, shape (sources,); NaN for measurements that must not count.
    ensemble, ensemble_errors : medians or means of earlier epochs, Jy; NaN for sources without them.
    catalogue, catalogue_errors : at the epoch's frequency, Jy; NaN for sources that it does not have.
    options : limits.
    """
    options = options or NormalisationOptions()
    of_catalogue = normalise(fluxes, errors, catalogue, catalogue_errors, options)
    of_ensemble = normalise(fluxes, errors, ensemble, ensemble_errors, options)
    if of_ensemble.sources >= options.reference_min_sources:
        return of_ensemble, of_catalogue
    if of_catalogue.sources >= options.reference_min_sources:
        return of_catalogue, of_catalogue
    if np.isfinite(ensemble).any() or np.isfinite(catalogue).any():
        return of_ensemble, of_catalogue
    reason = "first epoch: it defines the flux scale"
    return Normalisation(1.0, options.max_factor_error, 0.0, 0, True, reason), of_catalogue


def compute_medians(flux_jy: ArrayLike, min_epochs: int = 3) -> tuple[Values, Values]:
    """Return the median flux of each source over its epochs, and its standard error.

    Parameters
    ----------
    flux_jy : shape (sources, epochs); NaN where there is no measurement.
    min_epochs : fewest measurements of a source that has a median.

    Returns
    -------
    shape (sources,) each; NaN for sources of fewer measurements. The error is √(π/2) times the scatter, 1.4826 times
    the median absolute deviation, over √N.
    """
    flux = np.asarray(flux_jy, dtype=np.float64)
    medians, errors = np.full(flux.shape[0], np.nan), np.full(flux.shape[0], np.nan)
    count = np.isfinite(flux).sum(axis=1)
    is_enough = count >= max(min_epochs, 1)
    if is_enough.any():
        medians[is_enough] = np.nanmedian(flux[is_enough], axis=1)
        deviation = np.nanmedian(np.abs(flux[is_enough] - medians[is_enough, None]), axis=1)
        errors[is_enough] = np.sqrt(np.pi / 2) * 1.4826 * deviation / np.sqrt(count[is_enough])
    return medians, errors


def _refuse(factor: float, factor_error: float, scatter: float, options: NormalisationOptions) -> str:
    """Why a fit is not accepted; empty where it is."""
    limit = options.max_flux_factor
    if not np.isfinite(factor) or not np.isfinite(factor_error):
        return "the fit of the flux scale did not converge"
    if not 1 / limit <= factor <= limit:
        is_unit = factor > 0 and abs(abs(np.log10(factor)) - 3) < 0.2
        hint = "; the references are in another unit (mJy and Jy)" if is_unit else ""
        return f"fluxes are {factor:.3g} times the reference's (limits {1 / limit:.3g} and {limit:.3g}){hint}"
    if factor_error > options.max_factor_error:
        return f"error of the flux factor {factor_error:.3f} (limit {options.max_factor_error:g})"
    if scatter > options.max_scatter:
        return f"references scatter by {scatter:.3f} of their flux beyond their errors (limit {options.max_scatter:g})"
    return ""


def _fit_scale(ratio: Values, error: Values, inverse: Values) -> tuple[float, float, float]:
    """Factor, its error and the offset of ratio = factor + offset · inverse; the offset where it is significant."""
    start, _ = compute_weighted_median(ratio, error)
    factor, factor_error = _fit_huber(np.ones((ratio.size, 1)), ratio, error, np.array([start]))
    if ratio.size >= _MIN_OFFSET_SOURCES and np.ptp(np.log(inverse)) > np.log(_MIN_OFFSET_RANGE):
        design = np.stack([np.ones(ratio.size), inverse], axis=1)
        both, both_error = _fit_huber(design, ratio, error, np.array([start, 0.0]))
        if abs(both[1]) > _MIN_OFFSET_SIGMA * both_error[1]:
            return float(both[0]), float(both_error[0]), float(both[1])
    return float(factor[0]), float(factor_error[0]), 0.0


def _fit_huber(design: Values, values: Values, error: Values, start: Values) -> tuple[Values, Values]:
    """Linear fit by iterated weights, and the standard errors, at least those of the errors given."""
    parameters, weight = start, 1 / error**2
    normal: Any = np.eye(start.size)
    for _ in range(_ITERATIONS):
        pull = np.abs(values - design @ parameters) / error
        robust = weight * np.minimum(1.0, _HUBER / np.maximum(pull, 1e-12))
        normal = design.T @ (robust[:, None] * design)
        update = np.linalg.solve(normal, design.T @ (robust * values))
        step, parameters = np.abs(update - parameters), update
        if np.all(step <= 1e-10 * np.maximum(np.abs(update), 1e-12)):
            break
    return parameters, np.sqrt(np.diag(np.linalg.inv(normal)))


def _fit_scatter(residual: Values, error: Values) -> float:
    """Scatter beyond the errors: the root of Σ w² (min(r²/v, 4) - 0.92) with v = e² + s² and w = 1/v, by bisection.

    The weights are those of the maximum of likelihood, so that the bright sources decide; the clip bounds outliers.
    """
    if residual.size < _MIN_SCATTER_SOURCES:
        return 0.0

    def excess(scatter: float) -> float:
        variance = error**2 + scatter**2
        return float(np.sum(variance**-2 * (np.minimum(residual**2 / variance, _CLIP**2) - _CLIPPED_VARIANCE)))

    low, high = 0.0, 1.0
    if excess(low) <= 0:
        return 0.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
