"""Imaging weights over the cells of the uv plane: natural, uniform and Briggs' robust weighting, cuts and tapers.

Robust weighting is D. Briggs' (PhD thesis, New Mexico Tech, 1995). The cells are those of WSClean, so that the same
options give the same synthesized beam: the uv plane of the image padded by a fifth; a sample counts in the cell whose
lower left corner is next to it; every cross-correlation counts in the density, also below the cut at short baselines;
a cell is cut or tapered as a whole.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.common.units import FWHM_PER_SIGMA
from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.visibilities import ARCSEC_RAD, SelectedRows
from contimg.tile.image.options import NATURAL, UNIFORM, ImageOptions

PADDING = 1.2
_SAMPLED_FREQS = 8  # frequencies from which the weights of rows are estimated

Plane = NDArray[np.float64]


def compute_imaging_weights(
    uvw_m: NDArray[np.float64], freqs_hz: NDArray[np.float64], weights: NDArray[np.float32], pixel_rad: float,
    options: ImageOptions,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the natural weights times the factors of their cells; 0 outside the uv plane.

    Parameters
    ----------
    uvw_m, freqs_hz : shapes (rows, 3) and (channels,).
    weights : natural weights, shape (rows, channels).
    pixel_rad : size of the image's pixels.
    options : size of the image, weighting, cut at short baselines and taper.
    """
    cells = int(np.ceil(options.size * PADDING))
    cells += -cells % 4  # on a side of the uv plane, a multiple of four
    cells_per_m = freqs_hz / C_M_S * (cells * pixel_rad)
    density = np.zeros((cells // 2, cells))
    _add_density(uvw_m, cells_per_m, weights, density)
    factors = _compute_factors(density, options) * _compute_window(cells, pixel_rad, options)
    imaging_weights = np.empty_like(weights)
    _apply_factors(uvw_m, cells_per_m, weights, factors, imaging_weights)
    return imaging_weights


def estimate_row_weights(
    ms: MSInfo, rows: SelectedRows, pixel_rad: float, options: ImageOptions
) -> NDArray[np.float32]:
    """Estimate each row's mean imaging weight, shape (rows,), from a few frequencies and without the flags.

    Parameters
    ----------
    ms, rows : the Measurement Set and its selected rows.
    pixel_rad : size of the image's pixels.
    options : size of the image, weighting, cut at short baselines and taper.
    """
    freqs_hz = ms.freqs_hz[:: max(1, ms.freqs_hz.size // _SAMPLED_FREQS)]
    natural = np.repeat(rows.weights[:, None], freqs_hz.size, axis=1)
    weights = compute_imaging_weights(rows.uvw_m, freqs_hz, natural, pixel_rad, options)
    return np.asarray(weights.mean(axis=1))


def _compute_factors(density: Plane, options: ImageOptions) -> Plane:
    """Factor of the natural weights in each cell, from the natural weight W that the cell holds.

    Briggs: 1 / (1 + f² W) with f² = (5·10⁻ᴿ)² Σw / ΣW².
    """
    if options.weighting == NATURAL:
        return np.ones_like(density)
    if options.weighting == UNIFORM:
        return np.divide(1.0, density, out=np.zeros_like(density), where=density > 0)
    squares = np.square(density).sum()
    scale = (5 * 10.0**-options.robust) ** 2 * density.sum() / squares if squares > 0 else 0.0
    return np.asarray(1 / (1 + scale * density))


def _compute_window(cells: int, pixel_rad: float, options: ImageOptions) -> Plane:
    """The cut at short baselines and the taper, both at the cells' corners."""
    step_lambda = 1 / (cells * pixel_rad)
    u = (np.arange(cells) - cells // 2) * step_lambda
    v = np.arange(cells // 2)[:, None] * step_lambda
    squares = u * u + v * v
    window = (squares >= (1000 * options.min_uv_klambda) ** 2).astype(np.float64)
    if options.taper_arcsec > 0:
        sigma_lambda = FWHM_PER_SIGMA / (2 * np.pi * options.taper_arcsec * ARCSEC_RAD)
        window *= np.exp(-squares / (2 * sigma_lambda**2))
    return window


@numba.njit(cache=True)
def _cell(u: float, v: float, cells: int) -> tuple[int, int]:
    """Row and column of the cell of (u, v) in cells; row -1 outside the plane. v < 0 is stored as its conjugate."""
    if v < 0:
        u, v = -u, -v
    column, row = int(np.floor(u + cells // 2)), int(np.floor(v))
    if column < 0 or column >= cells or row >= cells // 2:
        return -1, 0
    return row, column


@numba.njit(cache=True)
def _add_density(uvw_m, cells_per_m, weights, density):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cells = density.shape[1]
    for index in range(uvw_m.shape[0]):
        for channel in range(cells_per_m.size):
            row, column = _cell(uvw_m[index, 0] * cells_per_m[channel], uvw_m[index, 1] * cells_per_m[channel], cells)
            if row >= 0:
                density[row, column] += weights[index, channel]


@numba.njit(cache=True)
def _apply_factors(uvw_m, cells_per_m, weights, factors, imaging_weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cells = factors.shape[1]
    for index in range(uvw_m.shape[0]):
        for channel in range(cells_per_m.size):
            row, column = _cell(uvw_m[index, 0] * cells_per_m[channel], uvw_m[index, 1] * cells_per_m[channel], cells)
            imaging_weights[index, channel] = weights[index, channel] * factors[row, column] if row >= 0 else 0.0
