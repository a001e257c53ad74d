"""Robust statistics of values with errors."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

MEDIAN_ERROR = float(np.sqrt(np.pi / 2))  # standard error of a median over that of a mean, Gaussian values
MAD_TO_SIGMA = 1.4826  # standard deviation over the median absolute deviation, Gaussian values
MIN_SCATTER_VALUES = 5  # fewer do not give their scatter


def compute_weighted_median(values: ArrayLike, errors: ArrayLike) -> tuple[float, float]:
    """Return the median of values with the weights 1 / error, and its standard error.

    The median is where half of the weights is reached, interpolated between two values. For Gaussian values of
    standard deviations k s_i, the weights 1 / s_i give the median the least variance, (π/2) k² / Σ 1/s_i². The
    factor k is the scatter of the values around the median in units of their errors, 1.4826 times its median; with
    fewer than `MIN_SCATTER_VALUES` it is at least 1.

    Parameters
    ----------
    values, errors : shape (count,); errors are positive.

    Returns
    -------
    The median and its standard error; NaN without values.
    """
    values, errors = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if not values.size:
        return float("nan"), float("nan")
    median = _interpolate_median(values, 1 / errors)
    factor = MAD_TO_SIGMA * float(np.median(np.abs(values - median) / errors))
    if values.size < MIN_SCATTER_VALUES:
        factor = max(1.0, factor)
    return median, MEDIAN_ERROR * factor / float(np.sqrt(np.sum(errors**-2.0)))


def _interpolate_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) - 0.5 * weights[order]
    return float(np.interp(0.5 * weights.sum(), cumulative, values[order]))
