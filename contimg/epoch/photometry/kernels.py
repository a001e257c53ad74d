"""Fits of the restoring beam at fixed positions: linear least squares of one or several fluxes, and their errors.

With the pixels d of a group, the beam K_i around each of its positions and S = A⁻¹ K d, A = K Kᵀ, a flux is a linear
combination W d of pixels, W = A⁻¹ K: for one position S = Σ K d / Σ K² (Condon 1997, PASP 109, 166). Its variance is
W N Wᵀ with the covariance N of the pixels' noise, which depends on the distance of two pixels alone.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FIT_LEVEL = 0.5  # pixels where the beam around a position is above this: more would smooth the noise once more
MIN_FILLED = 0.5  # of the sum of K² that must be in pixels with data
MAX_ACROSS = 12.0  # pixels across the minor axis; of a finer grid, one in several is used


@dataclass(frozen=True)
class Fits:
    """Fits at positions; arrays of shape (positions,).

    Attributes
    ----------
    flux : in the unit of the image; NaN without enough pixels.
    error : standard error in units of the noise of a pixel, with the correlation of the noise.
    white : the same for independent pixels.
    """

    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    white: NDArray[np.float64]


def fit_positions(
    image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64], group: NDArray[np.int64],
    form: tuple[float, float, float], correlation: NDArray[np.float64],
) -> Fits:  # fmt: skip
    """Fit the beam at positions; those of one group are fitted together.

    Parameters
    ----------
    image : shape (rows, columns); NaN where it has no data.
    x, y : pixels, shape (positions,); NaN for a position that is not fitted.
    group : number of each position's group, from 0 without a gap.
    form : a, b, c of the beam exp(-(a x² + 2 b x y + c y²)).
    correlation : covariance of the noise of two pixels over the variance of a pixel, by their distance: shape
        (2 n + 1, 2 n + 1) with the distance 0 in the middle; 0 beyond.
    """
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=1))]).astype(np.int64)
    a, b, c = form
    reach_x, reach_y = (np.sqrt(-np.log(FIT_LEVEL) * width / (a * c - b * b)) for width in (c, a))
    across = 2 * np.sqrt(np.log(2) / float(np.linalg.eigvalsh(np.array([[a, b], [b, c]]))[-1]))
    stride = max(1, int(across / MAX_ACROSS))
    flux, error, white = (np.full(x.size, np.nan) for _ in range(3))
    _fit_groups(
        image, x, y, order, starts, np.array(form), int(reach_x) + 1, int(reach_y) + 1, stride, correlation, flux,
        error, white,
    )  # fmt: skip
    return Fits(flux, error, white)


@numba.njit(cache=True, nogil=True)
def _fit_groups(
    image: Any, x: Any, y: Any, order: Any, starts: Any, form: Any, reach_x: int, reach_y: int, stride: int,
    correlation: Any, flux: Any, error: Any, white: Any,
) -> None:  # fmt: skip
    """Fit all groups; the results are written to the last three arrays."""
    for number in range(starts.size - 1):
        members = order[starts[number] : starts[number + 1]]
        usable = np.zeros(members.size, dtype=np.bool_)
        for i in range(members.size):
            usable[i] = _is_filled(image, x[members[i]], y[members[i]], form, reach_x, reach_y)
        members = members[usable]
        if members.size:
            columns, rows = _collect_pixels(image, x, y, members, form, reach_x, reach_y, stride)
            _fit_group(image, x, y, members, columns, rows, form, correlation, flux, error, white)


@numba.njit(cache=True, nogil=True)
def _beam(form: Any, dx: float, dy: float) -> float:
    """The beam at an offset in pixels."""
    return float(np.exp(-(form[0] * dx * dx + 2.0 * form[1] * dx * dy + form[2] * dy * dy)))


@numba.njit(cache=True, nogil=True)
def _is_filled(image: Any, x: float, y: float, form: Any, reach_x: int, reach_y: int) -> bool:
    """Whether enough of the pixels around a position have data."""
    if not (np.isfinite(x) and np.isfinite(y)):
        return False
    total, filled = 0.0, 0.0
    column, row = int(np.rint(x)), int(np.rint(y))
    for v in range(row - reach_y, row + reach_y + 1):
        for u in range(column - reach_x, column + reach_x + 1):
            response = _beam(form, u - x, v - y)
            if response >= FIT_LEVEL or (u == column and v == row):
                total += response * response
                if 0 <= v < image.shape[0] and 0 <= u < image.shape[1] and np.isfinite(image[v, u]):
                    filled += response * response
    return filled >= MIN_FILLED * total


@numba.njit(cache=True, nogil=True)
def _collect_pixels(
    image: Any, x: Any, y: Any, members: Any, form: Any, reach_x: int, reach_y: int, stride: int
) -> Any:  # fmt: skip
    """Columns and rows of the pixels with data near any position of a group, each pixel once."""
    half_x, half_y = -(-reach_x // stride) * stride, -(-reach_y // stride) * stride
    side = (2 * half_x // stride + 1) * (2 * half_y // stride + 1)
    columns, rows = np.empty(members.size * side, dtype=np.int64), np.empty(members.size * side, dtype=np.int64)
    count = 0
    first_column, first_row = int(np.rint(x[members[0]])), int(np.rint(y[members[0]]))
    for i in range(members.size):
        px, py = x[members[i]], y[members[i]]
        # The lattice of every position is that of the first, so that a shared pixel is found again.
        column = first_column + int(np.rint((px - first_column) / stride)) * stride
        row = first_row + int(np.rint((py - first_row) / stride)) * stride
        for v in range(row - half_y, row + half_y + 1, stride):
            for u in range(column - half_x, column + half_x + 1, stride):
                if not (0 <= v < image.shape[0] and 0 <= u < image.shape[1] and np.isfinite(image[v, u])):
                    continue
                if _beam(form, u - px, v - py) < FIT_LEVEL and not (u == column and v == row):
                    continue
                is_new = True
                for j in range(count):
                    if columns[j] == u and rows[j] == v:
                        is_new = False
                        break
                if is_new:
                    columns[count], rows[count] = u, v
                    count += 1
    return columns[:count], rows[:count]


@numba.njit(cache=True, nogil=True)
def _fit_group(
    image: Any, x: Any, y: Any, members: Any, columns: Any, rows: Any, form: Any, correlation: Any, flux: Any,
    error: Any, white: Any,
) -> None:  # fmt: skip
    """Fit the fluxes of a group to its pixels."""
    n, count, half = members.size, columns.size, correlation.shape[0] // 2
    if count < n:
        return
    beams = np.empty((n, count))
    values = np.empty(count)
    for p in range(count):
        values[p] = image[rows[p], columns[p]]
        for i in range(n):
            beams[i, p] = _beam(form, columns[p] - x[members[i]], rows[p] - y[members[i]])
    inverse = _invert(beams)
    weights = np.zeros((n, count))
    for i in range(n):
        for j in range(n):
            for p in range(count):
                weights[i, p] += inverse[i, j] * beams[j, p]
    for i in range(n):
        variance, total = 0.0, 0.0
        for p in range(count):
            total += weights[i, p] * values[p]
            covariance = 0.0
            for q in range(p):
                dx, dy = columns[p] - columns[q] + half, rows[p] - rows[q] + half
                if 0 <= dx < correlation.shape[1] and 0 <= dy < correlation.shape[0]:
                    covariance += weights[i, q] * correlation[dy, dx]
            variance += weights[i, p] * (2.0 * covariance + weights[i, p] * correlation[half, half])
        flux[members[i]] = total
        white[members[i]] = np.sqrt(inverse[i, i])
        error[members[i]] = np.sqrt(max(variance, 1e-12))


@numba.njit(cache=True, nogil=True)
def _invert(beams: Any) -> Any:
    """The inverse of K Kᵀ by Gauss-Jordan elimination; written out, as NumPy's takes seconds to compile."""
    n, count = beams.shape
    both = np.zeros((n, 2 * n))
    for i in range(n):
        both[i, n + i] = 1.0
        for j in range(n):
            for p in range(count):
                both[i, j] += beams[i, p] * beams[j, p]
    for i in range(n):
        scale = 1.0 / (both[i, i] * (1.0 + 1e-9))
        for k in range(2 * n):
            both[i, k] *= scale
        for j in range(n):
            factor = both[j, i]
            if j != i:
                for k in range(2 * n):
                    both[j, k] -= factor * both[i, k]
    return both[:, n:]
