"""Where the sky is over the array: the tile's phase centre, baselines in uvw, the pointing in ICRS.

Directions go through ERFA's observed place without refraction (SOFA, IAU 2006/2000A): annual and diurnal
aberration, precession, nutation, Earth rotation and polar motion, so that the delay of a plane wave is the
scalar product of an ITRF baseline with an ITRF unit vector. Formulas: Thompson, Moran & Swenson, 3rd ed., ch. 4.
"""

from dataclasses import dataclass

import erfa
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.earth_orientation import earth_orientation

Vectors = NDArray[np.float64]
_NORTH_STEP_RAD = 1e-3  # a finite step to the north and south: wide against rounding, narrow against curvature


@dataclass(frozen=True)
class Site:
    """The array's centre: geodetic longitude and latitude (radians, WGS84) and height (metres)."""

    longitude_rad: float
    latitude_rad: float
    height_m: float

    @classmethod
    def at(cls, centre_m: Vectors) -> "Site":
        """The site of an ITRF position, shape (3,), metres."""
        longitude, latitude, height = erfa.gc2gd(1, centre_m)
        return cls(float(longitude), float(latitude), float(height))


def meridian_icrs(site: Site, times_jd: Vectors, declination_rad: float) -> Vectors:
    """ICRS right ascension and declination of hour angle 0 at an apparent declination.

    Parameters
    ----------
    times_jd : UTC Julian dates, shape (times,).
    declination_rad : observed declination, as the telescope points.

    Returns
    -------
    shape (times, 2), radians, right ascension in [0, 2π).
    """
    clock = _Clock.at(times_jd)
    ra, dec = erfa.atoc13(
        "H", 0.0, declination_rad, *clock.utc, clock.dut1, *_place(site), clock.xp, clock.yp, 0.0, 0.0, 0.0, 1.0
    )
    return np.stack([np.mod(ra, 2 * np.pi), dec], axis=1)


def itrf_directions(site: Site, times_jd: Vectors, ra_rad: float | Vectors, dec_rad: float | Vectors) -> Vectors:
    """Unit vectors in ITRF from which a plane wave of an ICRS direction arrives, shape (times, 3)."""
    clock = _Clock.at(times_jd)
    _, _, hour_angle, declination, _, _ = erfa.atco13(
        ra_rad, dec_rad, 0.0, 0.0, 0.0, 0.0,
        *clock.utc, clock.dut1, *_place(site), clock.xp, clock.yp, 0.0, 0.0, 0.0, 1.0,
    )  # fmt: skip
    return _terrestrial(site, hour_angle, declination)


def meridian_direction(site: Site, declination_rad: float) -> Vectors:
    """Unit vector in ITRF of hour angle 0 at a declination, shape (3,): where the correlator fringe-stops to."""
    return _terrestrial(site, np.zeros(1), np.full(1, declination_rad)).reshape(3)


def uvw_axes(site: Site, times_jd: Vectors, ra_rad: float, dec_rad: float) -> Vectors:
    """The u, v and w unit vectors in ITRF at each time, shape (times, 3, 3), axes first.

    w points to the phase centre, v to ICRS north, u to the east, so that uvw = axes @ baseline.
    """
    w = itrf_directions(site, times_jd, ra_rad, dec_rad)
    v = itrf_directions(site, times_jd, ra_rad, dec_rad + _NORTH_STEP_RAD)
    v -= itrf_directions(site, times_jd, ra_rad, dec_rad - _NORTH_STEP_RAD)
    v -= np.sum(v * w, axis=1, keepdims=True) * w
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.stack([np.cross(v, w), v, w], axis=1)


def _terrestrial(site: Site, hour_angle_rad: Vectors, declination_rad: Vectors) -> Vectors:
    east = site.longitude_rad - hour_angle_rad
    across = np.cos(declination_rad)
    return np.stack([across * np.cos(east), across * np.sin(east), np.sin(declination_rad)], axis=-1)


def _place(site: Site) -> tuple[float, float, float]:
    return site.longitude_rad, site.latitude_rad, site.height_m


@dataclass(frozen=True)
class _Clock:
    """UTC in two parts with UT1-UTC (s) and polar motion (rad)."""

    utc: tuple[Vectors, Vectors]
    dut1: Vectors
    xp: Vectors
    yp: Vectors

    @classmethod
    def at(cls, times_jd: Vectors) -> "_Clock":
        times = np.atleast_1d(times_jd)
        whole = np.floor(times)
        return cls((whole, times - whole), *earth_orientation().at(times))
