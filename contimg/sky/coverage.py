"""What a catalogue covers: directions near sources, the part of a declination strip, and its density on a grid."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.sky.catalogue import Catalogue
from contimg.sky.catalogue.pixels import DENSITY_NSIDE, pixels_of

REACH_DEG = 1.35  # half the primary beam at half power
PIXEL_DEG2 = 4 * 180**2 / np.pi / (12 * DENSITY_NSIDE**2)


def find_covered(catalogue: Catalogue, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
    """Find the directions that have sources of a catalogue within the half power of the primary beam.

    Parameters
    ----------
    catalogue : the catalogue; its density in pixels of 1.8 degrees is read.
    ra_deg, dec_deg : ICRS, shape (directions,).

    Returns
    -------
    Whether the pixel of the direction, or of one of eight points `REACH_DEG` around it, has a source, shape
    (directions,).
    """
    ra, dec = np.broadcast_arrays(np.deg2rad(ra_deg), np.deg2rad(dec_deg))
    angles, radii = np.append(0.0, np.deg2rad(np.arange(8) * 45.0)), np.append(0.0, np.full(8, np.deg2rad(REACH_DEG)))
    ra, dec = ra[:, None], dec[:, None]
    sines = np.clip(np.sin(dec) * np.cos(radii) + np.cos(dec) * np.sin(radii) * np.cos(angles), -1.0, 1.0)
    east = np.sin(angles) * np.sin(radii) * np.cos(dec)
    ras = ra + np.arctan2(east, np.cos(radii) - np.sin(dec) * sines)
    pixels = pixels_of(np.rad2deg(ras).reshape(-1), np.rad2deg(np.arcsin(sines)).reshape(-1), DENSITY_NSIDE)
    counts = catalogue.density()
    return np.asarray((counts[pixels] > 0).reshape(ras.shape).any(axis=1))


def measure_strip_coverage(catalogue: Catalogue, dec_deg: float) -> float:
    """Measure the part of a declination strip's circle that a catalogue covers, 0 to 1.

    Parameters
    ----------
    catalogue : the catalogue.
    dec_deg : declination of the strip, ICRS.
    """
    ra_deg = np.arange(0.0, 360.0, 1.0)
    return float(find_covered(catalogue, ra_deg, np.full_like(ra_deg, dec_deg)).mean())


def measure_density(catalogue: Catalogue, step_deg: float) -> NDArray[np.float64]:
    """Measure the density of a catalogue in cells of right ascension and declination.

    Parameters
    ----------
    catalogue : the catalogue.
    step_deg : size of a cell on both axes, a divisor of 180.

    Returns
    -------
    Sources per square degree in the pixel of each cell's centre, shape (180 / step, 360 / step): declination from
    +90 down, right ascension from 0 up.
    """
    dec, ra = np.meshgrid(
        90 - step_deg * (np.arange(round(180 / step_deg)) + 0.5), step_deg * (np.arange(round(360 / step_deg)) + 0.5),
        indexing="ij",
    )  # fmt: skip
    pixels = pixels_of(ra.reshape(-1), dec.reshape(-1), DENSITY_NSIDE)
    return np.asarray(catalogue.density()[pixels].reshape(dec.shape) / PIXEL_DEG2)
