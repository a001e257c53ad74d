"""HEALPix pixels (nested) of the index: the pixels of directions, and the ranges of pixels that a cone touches.

Source: Górski et al. (2005, ApJ 622, 759); the pixels are those of ducc0.
"""

import ducc0
import numpy as np
from numpy.typing import ArrayLike, NDArray

NSIDE = 256  # 0.23 degrees: a cone of 2 degrees reads little more than its own rows
DENSITY_NSIDE = 32  # 1.8 degrees, 3.4 square degrees: some fifty sources above 10 mJy

_REGION_SOURCES = 5000  # on average, of the regions that a catalogue is worked on in

Ranges = NDArray[np.int64]


def pixels_of(ra_deg: ArrayLike, dec_deg: ArrayLike, nside: int = NSIDE) -> NDArray[np.int64]:
    """Return the nested pixel of each direction.

    Parameters
    ----------
    ra_deg, dec_deg : ICRS; right ascension of any turn; shape (n,).
    nside : resolution.
    """
    ra, dec = np.broadcast_arrays(np.asarray(ra_deg, dtype=np.float64), np.asarray(dec_deg, dtype=np.float64))
    colatitude = np.clip(np.pi / 2 - np.deg2rad(dec), 0, np.pi)
    directions = np.stack([colatitude, np.mod(np.deg2rad(ra), 2 * np.pi)], axis=-1)
    return np.asarray(_grid(nside).ang2pix(np.ascontiguousarray(directions)), dtype=np.int64)


def pixel_centres(nside: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination (degrees) of the centre of every nested pixel.

    Parameters
    ----------
    nside : resolution.
    """
    angles = _grid(nside).pix2ang(np.arange(12 * nside**2))
    return np.rad2deg(angles[:, 1]), 90 - np.rad2deg(angles[:, 0])


def pixel_radius_deg(nside: int) -> float:
    """Return the largest distance between a pixel's centre and its corners, degrees.

    Parameters
    ----------
    nside : resolution.
    """
    return float(np.rad2deg(_grid(nside).max_pixrad()))


def region_nside(n_sources: int) -> int:
    """Return the resolution of the regions in which an all-sky catalogue is worked on, so that memory stays flat.

    Parameters
    ----------
    n_sources : of the catalogue.
    """
    return next(nside for nside in (1, 2, 4, 8, 16) if nside == 16 or n_sources <= 12 * nside**2 * _REGION_SOURCES)


def cone_ranges(ra_deg: float, dec_deg: float, radius_deg: float, nside: int = NSIDE) -> Ranges:
    """Return the ranges of index pixels that a cone touches, and possibly some that it does not.

    Parameters
    ----------
    ra_deg, dec_deg : centre, ICRS.
    radius_deg : of the cone.
    nside : resolution.

    Returns
    -------
    shape (ranges, 2): first pixel, and the one after the last.
    """
    grid = _grid(nside)
    radius_rad = min(np.deg2rad(radius_deg) + 1.01 * grid.max_pixrad(), np.pi)
    centre = np.array([np.clip(np.pi / 2 - np.deg2rad(dec_deg), 0, np.pi), np.mod(np.deg2rad(ra_deg), 2 * np.pi)])
    return np.asarray(grid.query_disc(centre, radius_rad), dtype=np.int64).reshape(-1, 2)


def _grid(nside: int) -> ducc0.healpix.Healpix_Base:
    return ducc0.healpix.Healpix_Base(nside, "NEST")
