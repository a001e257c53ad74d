"""Primary beam of a tile: the Airy pattern, averaged as the data were while the sky drifted through it.

The image is phased to one direction, so a source keeps its pixel while the primary beam moves over it: its apparent
flux is the average over the drift.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import primary_beam
from contimg.tile.image.gridding.gridder import Gridder, Image

KNOTS = 129  # per side; a cubic spline through these is accurate to 1e-5
BAND_BINS = 16


def average_primary_beam(ms: MSInfo, gridder: Gridder) -> Image:
    """Return apparent over true flux at every pixel, shape (size, size), averaged with the imaging weights.

    It is NaN everywhere where the diameter of the dishes is not known.

    Parameters
    ----------
    ms : gives the pointing at each integration and the diameter of the dishes.
    gridder : the visibilities, before averaging in time, their imaging weights, and the geometry of the image.
    """
    if np.isnan(ms.dish_diameter_m):
        return np.full((gridder.size, gridder.size), np.nan, dtype=np.float32)
    times, freqs_hz, weights = _weights_by_time(ms, gridder)
    half = gridder.size // 2 * gridder.pixel_rad
    knots = np.linspace(-half, half, KNOTS)
    directions = sin_deproject(-knots[None, :], knots[:, None], ms.phase_centre_rad)
    pb = np.zeros((KNOTS, KNOTS))
    for time, weights_at_time in zip(times, weights, strict=True):
        pointing = unit_vectors(*ms.pointing_rad[time])
        separation_rad = np.arccos(np.clip(directions @ pointing, -1, 1))
        for freq_hz, weight in zip(freqs_hz, weights_at_time, strict=True):
            pb += weight * primary_beam(separation_rad, freq_hz, ms.dish_diameter_m, ms.mid_mjd)
    pixels = (np.arange(gridder.size) - gridder.size // 2) * gridder.pixel_rad
    return np.asarray(RectBivariateSpline(knots, knots, pb)(pixels, pixels), dtype=np.float32)


def _weights_by_time(
    ms: MSInfo, gridder: Gridder
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Indices of times, frequencies of bins of the band, and their fraction of the weight, shape (times, bins)."""
    data = gridder.visibilities
    bins = min(BAND_BINS, data.freqs_hz.size)
    edges = np.linspace(0, data.freqs_hz.size, bins + 1).astype(np.int64)
    row_weights = np.add.reduceat(gridder.weights, edges[:-1], axis=1)
    count = ms.times_mjd_s.size
    weights = np.stack([np.bincount(data.times, column, minlength=count) for column in row_weights.T], axis=1)
    freqs_hz = np.array([data.freqs_hz[low:high].mean() for low, high in pairwise(edges)])
    times = np.flatnonzero(weights.sum(axis=1))
    return times, freqs_hz, weights[times] / weights.sum()
