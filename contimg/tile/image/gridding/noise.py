"""The noise of an image: measured, and expected from the telescope's SEFD."""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import SEFD_JY
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.gridding.visibilities import Visibilities

MAD_TO_SIGMA = 1.4826
BOWL_BEAMS = 3.0, 8.0  # inner and outer radius of the ring around the brightest source, in major axes


def robust_rms(image: Image) -> float:
    """Standard deviation by the median absolute deviation: sources do not move it."""
    return float(MAD_TO_SIGMA * np.median(np.abs(image - np.median(image))))


def expected_rms_jy(
    description: MSInfo, data: Visibilities, imaging: NDArray[np.float32], sefd_jy: float = SEFD_JY
) -> float:
    """Thermal noise per beam of samples, not yet averaged in time, with imaging weights of shape (rows, channels).

    A native sample of Stokes I has σ² = SEFD² / (4 Δν τ) in its real part (Thompson, Moran & Swenson, 3rd ed.,
    eq. 6.50, two hands); the image is their weighted mean.
    """
    total, squares = _sums(imaging, data.weights, data.row_weights)
    variance = sefd_jy**2 / (4 * description.channel_width_hz * description.integration_s)
    return float(np.sqrt(variance * squares) / total)


@numba.njit(cache=True)
def _sums(
    imaging: NDArray[np.float32], natural: NDArray[np.float32], native: NDArray[np.float32]
) -> tuple[float, float]:
    """Sum of the weights, and of their squares over the number of native samples that each is of."""
    total, squares = 0.0, 0.0
    for row in range(imaging.shape[0]):
        for channel in range(imaging.shape[1]):
            weight = np.float64(imaging[row, channel])
            if natural[row, channel] > 0:
                total += weight
                squares += weight * weight * native[row] / natural[row, channel]
    return total, squares


def bowl_jy(image: Image, beam_pixels: float) -> float:
    """Median around the brightest pixel: below zero when short baselines or clean left a bowl there."""
    y, x = np.unravel_index(int(image.argmax()), image.shape)
    inner, outer = (radius * beam_pixels for radius in BOWL_BEAMS)
    low, left = max(0, int(y - outer)), max(0, int(x - outer))
    around = image[low : int(y + outer) + 1, left : int(x + outer) + 1]
    rows, columns = np.indices(around.shape, sparse=True)
    distance = np.hypot(rows + low - y, columns + left - x)
    ring = around[(distance >= inner) & (distance <= outer)]
    return float(np.median(ring)) if ring.size else 0.0
