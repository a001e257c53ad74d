"""Imaging weights over the cells of the uv plane: natural, uniform and Briggs' robust weighting, cuts and tapers.

Robust weighting is D. Briggs' (PhD thesis, New Mexico Tech, 1995). What a cell is follows WSClean, so that the same
options give the same beam: the plane belongs to the image padded by a fifth, a cell holds what lies above and to the
right of its corner, every cross-correlation counts in it (also those that the cut at short baselines then leaves
out), and a cell is cut or tapered as a whole.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.visibilities import Rows
from contimg.tile.image.options import BRIGGS, NATURAL, UNIFORM

PADDING = 1.2
_FORESEEN = 8  # frequencies that tell about all
FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Weighting:
    """How samples weigh in an image.

    Attributes
    ----------
    scheme : `natural`, `uniform` or `briggs`.
    robust : Briggs' robustness, -2 nearly uniform to 2 nearly natural.
    min_uv_lambda : cells nearer to the origin than this weigh nothing.
    taper_rad : full width at half maximum of the Gaussian that the uv taper makes of a point; 0 for no taper.
    """

    scheme: str = BRIGGS
    robust: float = 0.5
    min_uv_lambda: float = 0.0
    taper_rad: float = 0.0


def imaging_weights(
    uvw_m: NDArray[np.float64],
    freqs_hz: NDArray[np.float64],
    weights: NDArray[np.float32],
    size: int,
    pixel_rad: float,
    weighting: Weighting,
) -> NDArray[np.float32]:
    """Natural weights times their cells' factors; 0 beyond the plane (a pixel too coarse for its baseline).

    Parameters
    ----------
    uvw_m, freqs_hz, weights : shapes (rows, 3), (channels,), (rows, channels); weights are the natural ones.
    size, pixel_rad : of the image.
    """
    cells = padded(size)
    per_metre = freqs_hz / C_M_S * (cells * pixel_rad)
    density = np.zeros((cells // 2, cells))
    _gather(uvw_m, per_metre, weights, density)
    factors = _factors(density, weighting) * _window(cells, pixel_rad, weighting)
    found = np.empty_like(weights)
    _spread(uvw_m, per_metre, weights, factors, found)
    return found


def foreseen_weights(
    description: MSInfo, rows: Rows, size: int, pixel_rad: float, weighting: Weighting
) -> NDArray[np.float32]:
    """Each row's mean weight in the image if nothing were flagged in part, from a few frequencies, shape (rows,)."""
    freqs = description.freqs_hz[:: max(1, description.freqs_hz.size // _FORESEEN)]
    natural = np.repeat(rows.weights[:, None], freqs.size, axis=1)
    weights = imaging_weights(rows.uvw_m, freqs, natural, size, pixel_rad, weighting)
    return np.asarray(weights.mean(axis=1))


def padded(size: int) -> int:
    """Cells on a side of the uv plane of an image: its size and a fifth, a multiple of four."""
    cells = int(np.ceil(size * PADDING))
    return cells + -cells % 4


def _factors(density: Plane, weighting: Weighting) -> Plane:
    """What a sample's natural weight is multiplied by in each cell, for the natural weight W that a cell holds.

    Briggs: 1 / (1 + f² W) with f² = (5·10⁻ᴿ)² Σw / ΣW².
    """
    if weighting.scheme == NATURAL:
        return np.ones_like(density)
    if weighting.scheme == UNIFORM:
        return np.divide(1.0, density, out=np.zeros_like(density), where=density > 0)
    squares = np.square(density).sum()
    scale = (5 * 10.0**-weighting.robust) ** 2 * density.sum() / squares if squares > 0 else 0.0
    return np.asarray(1 / (1 + scale * density))


def _window(cells: int, pixel_rad: float, weighting: Weighting) -> Plane:
    """The cut at short baselines and the taper, both at the cells' corners."""
    step_lambda = 1 / (cells * pixel_rad)
    u = (np.arange(cells) - cells // 2) * step_lambda
    v = np.arange(cells // 2)[:, None] * step_lambda
    squares = u * u + v * v
    window = (squares >= weighting.min_uv_lambda**2).astype(np.float64)
    if weighting.taper_rad > 0:
        sigma_lambda = FWHM_PER_SIGMA / (2 * np.pi * weighting.taper_rad)
        window *= np.exp(-squares / (2 * sigma_lambda**2))
    return window


@numba.njit(cache=True)
def _cell(u: float, v: float, cells: int) -> tuple[int, int]:
    """Row and column of a place in cells; the row is -1 beyond the plane. The half with v < 0 is its conjugate's."""
    if v < 0:
        u, v = -u, -v
    column, row = int(np.floor(u + cells // 2)), int(np.floor(v))
    if column < 0 or column >= cells or row >= cells // 2:
        return -1, 0
    return row, column


@numba.njit(cache=True)
def _gather(uvw_m, per_metre, weights, density):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cells = density.shape[1]
    for index in range(uvw_m.shape[0]):
        for channel in range(per_metre.size):
            row, column = _cell(uvw_m[index, 0] * per_metre[channel], uvw_m[index, 1] * per_metre[channel], cells)
            if row >= 0:
                density[row, column] += weights[index, channel]


@numba.njit(cache=True)
def _spread(uvw_m, per_metre, weights, factors, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    cells = factors.shape[1]
    for index in range(uvw_m.shape[0]):
        for channel in range(per_metre.size):
            row, column = _cell(uvw_m[index, 0] * per_metre[channel], uvw_m[index, 1] * per_metre[channel], cells)
            found[index, channel] = weights[index, channel] * factors[row, column] if row >= 0 else 0.0
