"""The primary beam of a tile: the Airy pattern, averaged as the data were while the dishes drifted over the sky.

The image is phased to one place, so sources stay put while the beam moves over them: only their apparent flux
is the average over the drift.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import primary_beam
from contimg.tile.image.gridding.gridding import Gridder, Image

KNOTS = 129  # per side: the beam is smooth, a cubic spline through these is good to 1e-5
BAND_BINS = 16


def drift_attenuation(description: MSInfo, gridder: Gridder) -> Image:
    """Apparent over true flux at every pixel, shape (size, size), averaged over time and band with image weights."""
    times, freqs, weights = _weights(description, gridder)
    half = gridder.size // 2 * gridder.pixel_rad
    knots = np.linspace(-half, half, KNOTS)
    directions = sin_deproject(-knots[None, :], knots[:, None], description.phase_centre_rad)
    mean = np.zeros((KNOTS, KNOTS))
    for time, of_time in zip(times, weights, strict=True):
        pointing = unit_vectors(*description.pointing_rad[time])
        separation = np.arccos(np.clip(directions @ pointing, -1, 1))
        for freq, weight in zip(freqs, of_time, strict=True):
            mean += weight * primary_beam(separation, freq)
    pixels = (np.arange(gridder.size) - gridder.size // 2) * gridder.pixel_rad
    return np.asarray(RectBivariateSpline(knots, knots, mean)(pixels, pixels), dtype=np.float32)


def _weights(
    description: MSInfo, gridder: Gridder
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Times (indices), frequencies of bins of the band, and their share of the image weight, shape (times, bins)."""
    data = gridder.visibilities
    bins = min(BAND_BINS, data.freqs_hz.size)
    edges = np.linspace(0, data.freqs_hz.size, bins + 1).astype(np.int64)
    by_bin = np.add.reduceat(gridder.weights, edges[:-1], axis=1)
    count = description.times_mjd_s.size
    shares = np.stack([np.bincount(data.times, column, minlength=count) for column in by_bin.T], axis=1)
    freqs = np.array([data.freqs_hz[low:high].mean() for low, high in pairwise(edges)])
    used = np.flatnonzero(shares.sum(axis=1))
    return used, freqs, shares[used] / shares.sum()
