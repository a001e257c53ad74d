"""Primary beam of a tile: the Airy pattern, averaged as the data were while the sky drifted through it.

The image is phased to one direction, so a source keeps its pixel while the primary beam moves over it: its apparent
flux is the average over the drift.
"""

import numpy as np
from scipy.interpolate import RectBivariateSpline

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import primary_beam
from contimg.tile.image.gridding.gridder import Gridder, Image
from contimg.tile.image.gridding.modes import weigh_cells

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
    freqs_hz, cells = weigh_cells(gridder.visibilities, gridder.weights, ms.times_mjd_s.size, BAND_BINS)
    half = gridder.size // 2 * gridder.pixel_rad
    knots = np.linspace(-half, half, KNOTS)
    directions = sin_deproject(-knots[None, :], knots[:, None], ms.phase_centre_rad)
    pb = np.zeros((KNOTS, KNOTS))
    for time in np.flatnonzero(cells.any(axis=1)):
        pointing = unit_vectors(*ms.pointing_rad[time])
        separation_rad = np.arccos(np.clip(directions @ pointing, -1, 1))
        for freq_hz, weight in zip(freqs_hz, cells[time], strict=True):
            pb += weight * primary_beam(separation_rad, freq_hz, ms.dish_diameter_m, ms.mid_mjd)
    pixels = (np.arange(gridder.size) - gridder.size // 2) * gridder.pixel_rad
    return np.asarray(RectBivariateSpline(knots, knots, pb)(pixels, pixels), dtype=np.float32)
