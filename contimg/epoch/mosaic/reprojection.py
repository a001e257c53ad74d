"""Reprojection of a tile image onto the mosaic's pixels, and the weighted sums.

Each tile image is interpolated once, by a cubic B-spline through its pixels (Unser 1999, IEEE Signal Process. Mag. 16,
22), within its window of the grid alone. With I the apparent image less its background, A the primary beam and sigma
the noise, the sums are sum(I A / sigma^2) and sum(A^2 / sigma^2): their ratio is the weighted mean of I / A with the
weights A^2 / sigma^2 = 1 / var(I / A), without a division by small A.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from contimg.epoch.mosaic.grid import STEP, Grid, Window
from contimg.epoch.mosaic.members import Image
from contimg.epoch.mosaic.noise import NoiseMap

ORDER = 3


def add_tile(
    flux: Image, weight: Image, image: Image, pb: Image, noise: NoiseMap, coarse: NDArray[np.float64],
    window: Window, background_jy: float,
) -> None:  # fmt: skip
    """Add a tile image to the sums of a mosaic, in place.

    Parameters
    ----------
    flux, weight : sums of I A / sigma^2 and A^2 / sigma^2, shape of the mosaic.
    image, pb : apparent image at the common beam and primary beam, 0 where it is not used.
    noise : of the image.
    coarse : pixels of the tile image, from `coarse_pixels`.
    window : of the tile in the mosaic.
    background_jy : level of the image, Jy per beam.
    """
    coefficients = spline_filter(image, order=ORDER, output=np.float32, mode="mirror")
    rows, columns = window.slices
    _add(flux[rows, columns], weight[rows, columns], coefficients, pb, noise.values, noise.first, noise.step,
         coarse, np.float32(background_jy))  # fmt: skip


@numba.njit(cache=True, nogil=True)
def interpolate_linear(values: Any, y: float, x: float) -> float:
    """Interpolate linearly between pixels; positions outside take the value at the edge.

    Parameters
    ----------
    values : shape (rows, columns).
    y, x : position in pixels.
    """
    y = min(max(y, 0.0), values.shape[0] - 1.0)
    x = min(max(x, 0.0), values.shape[1] - 1.0)
    row, column = min(int(y), max(values.shape[0] - 2, 0)), min(int(x), max(values.shape[1] - 2, 0))
    below, right = min(row + 1, values.shape[0] - 1), min(column + 1, values.shape[1] - 1)
    v, u = y - row, x - column
    upper = (1 - u) * values[row, column] + u * values[row, right]
    return (1 - v) * upper + v * ((1 - u) * values[below, column] + u * values[below, right])  # type: ignore[no-any-return]


@numba.njit(cache=True, nogil=True)
def spline_weights(t: float) -> tuple[float, float, float, float]:
    """Return the cubic B-spline at -1 - t, -t, 1 - t and 2 - t.

    Parameters
    ----------
    t : distance from the pixel before, 0 to 1.
    """
    s = 1.0 - t
    return s * s * s / 6, (4 - 6 * t * t + 3 * t * t * t) / 6, (4 - 6 * s * s + 3 * s * s * s) / 6, t * t * t / 6


@numba.njit(cache=True, nogil=True)
def _mirror(index: int, length: int) -> int:
    """An index beyond an edge, reflected at the edge's pixel."""
    if index < 0:
        return -index
    return index if index < length else 2 * length - 2 - index


@numba.njit(parallel=True, cache=True, nogil=True)
def _add(
    flux: Any, weight: Any, coefficients: Any, pb: Any, noise: Any, first: float, step: float, coarse: Any,
    background: float,
) -> None:  # fmt: skip
    rows, columns = coefficients.shape
    for row in numba.prange(flux.shape[0]):
        lattice_row, v = row // STEP, (row % STEP) / STEP
        for column in range(flux.shape[1]):
            lattice_column, u = column // STEP, (column % STEP) / STEP
            corner = coarse[:, lattice_row : lattice_row + 2, lattice_column : lattice_column + 2]
            x = (1 - v) * ((1 - u) * corner[0, 0, 0] + u * corner[0, 0, 1]) + v * (
                (1 - u) * corner[0, 1, 0] + u * corner[0, 1, 1]
            )
            y = (1 - v) * ((1 - u) * corner[1, 0, 0] + u * corner[1, 0, 1]) + v * (
                (1 - u) * corner[1, 1, 0] + u * corner[1, 1, 1]
            )
            if not (0 <= x <= columns - 1 and 0 <= y <= rows - 1):  # also NaN
                continue
            left, low = min(int(x), columns - 2), min(int(y), rows - 2)
            if min(pb[low, left], pb[low, left + 1], pb[low + 1, left], pb[low + 1, left + 1]) <= 0:
                continue
            response = interpolate_linear(pb, y, x)
            sigma = interpolate_linear(noise, (y - first) / step, (x - first) / step)
            weights_x, weights_y = spline_weights(x - left), spline_weights(y - low)
            value = 0.0
            for j in range(4):
                source_row = _mirror(low - 1 + j, rows)
                total = 0.0
                for i in range(4):
                    total += weights_x[i] * coefficients[source_row, _mirror(left - 1 + i, columns)]
                value += weights_y[j] * total
            inverse = 1.0 / (sigma * sigma)
            flux[row, column] += (value - background) * response * inverse
            weight[row, column] += response * response * inverse


@numba.njit(parallel=True, cache=True, nogil=True)
def divide(flux: Any, weight: Any, cutoff: float) -> None:
    """Turn the sum of fluxes into the mosaic, in place: NaN where the weight is below a cut-off, and weight 0.

    Parameters
    ----------
    flux, weight : sums, shape (rows, columns).
    cutoff : smallest weight.
    """
    for row in numba.prange(flux.shape[0]):
        for column in range(flux.shape[1]):
            if weight[row, column] > 0 and weight[row, column] >= cutoff:
                flux[row, column] /= weight[row, column]
            else:
                flux[row, column] = np.nan
                weight[row, column] = 0.0


@numba.njit(parallel=True, cache=True, nogil=True)
def signal_to_noise(flux: Any, weight: Any) -> Any:
    """Return the mosaic times the root of the weight, 0 where it is blank.

    Parameters
    ----------
    flux, weight : the mosaic and its weight, shape (rows, columns).
    """
    ratio = np.zeros(flux.shape, dtype=np.float32)
    for row in numba.prange(flux.shape[0]):
        for column in range(flux.shape[1]):
            if weight[row, column] > 0:
                ratio[row, column] = flux[row, column] * np.sqrt(weight[row, column])
    return ratio


@numba.njit(parallel=True, cache=True, nogil=True)
def fill_rms(rms: Any, weight: Any, noise: Any, first: float, step: float) -> None:
    """Fill an array with the noise of the mosaic: the local noise in units of the predicted one, times that.

    Parameters
    ----------
    rms : is overwritten; NaN where the weight is 0.
    weight : of the mosaic, 1/Jy².
    noise, first, step : of the map of the signal to noise ratio, as in `NoiseMap`.
    """
    for row in numba.prange(rms.shape[0]):
        for column in range(rms.shape[1]):
            if weight[row, column] > 0:
                ratio = interpolate_linear(noise, (row - first) / step, (column - first) / step)
                rms[row, column] = ratio / np.sqrt(weight[row, column])
            else:
                rms[row, column] = np.nan


def coarse_weights(
    pb: Image, noise: NoiseMap, coarse: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weight of a tile image and its primary beam on the coarse lattice; 0 where it is not used.

    Parameters
    ----------
    pb, noise : of the tile image.
    coarse : from `coarse_pixels`.
    """
    x, y = np.rint(np.nan_to_num(coarse, nan=-1.0)).astype(np.int64)
    inside = (x >= 0) & (y >= 0) & (x < pb.shape[1]) & (y < pb.shape[0])
    response = np.where(inside, pb[np.clip(y, 0, pb.shape[0] - 1), np.clip(x, 0, pb.shape[1] - 1)], 0)
    boxes = [
        np.clip(np.rint((axis - noise.first) / noise.step).astype(np.int64), 0, length - 1)
        for axis, length in zip((y, x), noise.values.shape, strict=True)
    ]
    sigma = noise.values[boxes[0], boxes[1]]
    return (response**2 / sigma**2).astype(np.float32), response.astype(np.float32)


def covered(grid: Grid, weight: Image) -> tuple[slice, slice]:
    """Return the smallest rectangle of the grid with all pixels whose weight is not 0.

    Parameters
    ----------
    grid : of the mosaic.
    weight : shape of the grid.
    """
    has_row, has_column = weight.any(axis=1), weight.any(axis=0)
    if not has_row.any():
        return slice(0, grid.shape[0]), slice(0, grid.shape[1])
    rows, columns = np.flatnonzero(has_row), np.flatnonzero(has_column)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
