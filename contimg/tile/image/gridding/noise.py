"""Noise of an image: measured, and thermal from the telescope's SEFD; the negative bowl around its brightest source."""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.sky.comparison.statistics import MAD_TO_SIGMA
from contimg.tile.image.gridding.gridder import Gridder, Image
from contimg.tile.image.gridding.visibilities import PARALLEL_HANDS

EDGE = 1 / 16  # width of the frame at the edge of an image, over the image's
BOWL_BEAMS = 3.0, 8.0  # inner and outer radius of the ring around the brightest source, in major axes


def measure_rms(image: Image) -> float:
    """Return the standard deviation from the median absolute deviation, which sources hardly change.

    For Gaussian noise it is 1.4826 times that deviation (Rousseeuw & Croux 1993, J. Am. Stat. Assoc. 88, 1273).

    Parameters
    ----------
    image : any shape; a residual or a dirty image, without NaN.

    Returns
    -------
    The rms in the unit of the image.
    """
    return float(MAD_TO_SIGMA * np.median(np.abs(image - np.median(image))))


def compute_thermal_rms_jy(ms: MSInfo, gridder: Gridder) -> float | None:
    """Return the thermal rms of an image, Jy per beam; None where the telescope's SEFD is not known.

    A native sample of Stokes I has σ² = SEFD² / (4 Δν τ) in its real part (Thompson, Moran & Swenson, 3rd ed.,
    eq. 6.50, two hands), of one hand alone twice that; the image is their weighted mean.

    Parameters
    ----------
    ms : gives SEFD, channel width and integration time.
    gridder : the visibilities, before averaging in time, and their imaging weights.
    """
    if ms.sefd_jy is None:
        return None
    data = gridder.visibilities
    total, squares = _sum_weights(gridder.weights, data.weights, data.row_weights)
    hands = 2 if data.hands in (("I",), *PARALLEL_HANDS) else 1
    variance = ms.sefd_jy**2 / (2 * hands * ms.channel_width_hz * ms.integration_s)
    return float(np.sqrt(variance * squares) / total)


@numba.njit(cache=True)
def _sum_weights(
    imaging: NDArray[np.float32], natural: NDArray[np.float32], native: NDArray[np.float32]
) -> tuple[float, float]:
    """Sum of the imaging weights, and of their squares over the number of native samples averaged into each."""
    total, squares = 0.0, 0.0
    for row in range(imaging.shape[0]):
        for channel in range(imaging.shape[1]):
            weight = np.float64(imaging[row, channel])
            if natural[row, channel] > 0:
                total += weight
                squares += weight * weight * native[row] / natural[row, channel]
    return total, squares


def measure_uncleaned_jy(residual: Image, min_jy: float, beam_pixels: float) -> float:
    """Return the flux of the residual's pixels above a level, Jy.

    Parameters
    ----------
    residual : Jy per beam.
    min_jy : the level, Jy per beam.
    beam_pixels : area of the synthesized beam, pixels.
    """
    return float(residual[residual > min_jy].sum(dtype=np.float64) / beam_pixels)


def measure_edge_noise_ratio(residual: Image) -> float | None:
    """Return the highest noise in a part of the frame along the edge over the noise inside it.

    A strong source outside the image, or its alias, raises the noise at the edge next to it. Each side of the frame
    has four parts.

    Parameters
    ----------
    residual : shape (size, size).

    Returns
    -------
    The ratio; None where there is no noise inside.
    """
    size = residual.shape[0]
    width = max(1, round(EDGE * size))
    inside_jy = measure_rms(residual[width:-width, width:-width])
    if not inside_jy > 0:
        return None
    strips = (residual[:width], residual[-width:], residual[:, :width].T, residual[:, -width:].T)
    parts = (part for strip in strips for part in np.array_split(strip, 4, axis=1))
    return max(measure_rms(part) for part in parts) / inside_jy


def measure_bowl_jy(image: Image, beam_pixels: float) -> float:
    """Return the median in a ring around the brightest pixel; a negative bowl makes it negative.

    Parameters
    ----------
    image : shape (size, size), Jy per beam.
    beam_pixels : major axis of the synthesized beam.
    """
    y, x = np.unravel_index(int(image.argmax()), image.shape)
    inner, outer = (radius * beam_pixels for radius in BOWL_BEAMS)
    low, left = max(0, int(y - outer)), max(0, int(x - outer))
    cutout = image[low : int(y + outer) + 1, left : int(x + outer) + 1]
    rows, columns = np.indices(cutout.shape, sparse=True)
    distance = np.hypot(rows + low - y, columns + left - x)
    ring = cutout[(distance >= inner) & (distance <= outer)]
    return float(np.median(ring)) if ring.size else 0.0
