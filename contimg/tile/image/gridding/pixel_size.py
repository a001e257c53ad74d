"""How fine an image has to be."""

import numpy as np

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.visibilities import Visibilities

MAX_PIXEL_ARCSEC = 6.0
PIXELS_PER_FRINGE = 2.6  # of the longest baseline: 2 would be Nyquist's limit
ARCSEC_RAD = float(np.deg2rad(1 / 3600))


def longest_baseline_lambda(data: Visibilities) -> float:
    """Longest projected baseline that has weight, in wavelengths."""
    metres = np.hypot(data.uvw_m[:, 0], data.uvw_m[:, 1])
    highest = np.where(data.weights > 0, data.freqs_hz[None, :], 0).max(axis=1)
    return float((metres * highest).max() / C_M_S)


def pixel_size_arcsec(data: Visibilities) -> float:
    """A pixel that samples the longest baseline's fringe, rounded down to 0.1 arcsec, at most 6 arcsec."""
    fine = 1 / (PIXELS_PER_FRINGE * longest_baseline_lambda(data)) / ARCSEC_RAD
    return float(min(MAX_PIXEL_ARCSEC, max(0.1, np.floor(fine * 10) / 10)))
