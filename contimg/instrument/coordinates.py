"""Directions on the sky over the array: the meridian in ICRS, ICRS directions in ITRF, uvw axes, SIN projection.

Directions go through ERFA's observed place without refraction (SOFA, IAU 2006/2000A): annual and diurnal
aberration, precession, nutation, Earth rotation and polar motion, so that the delay of a plane wave is the
scalar product of an ITRF baseline with an ITRF unit vector. Formulas: Thompson, Moran & Swenson, 3rd ed., ch. 4.
"""

from dataclasses import dataclass

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.instrument import dsa110 as telescope
from contimg.instrument.earth_orientation import earth_orientation

Vectors = NDArray[np.float64]
_NORTH_STEP_RAD = 1e-3  # a finite step to the north and south: wide against rounding, narrow against curvature


@dataclass(frozen=True)
class Site:
    """Position of an array's centre.

    Attributes
    ----------
    longitude_rad, latitude_rad : geodetic (WGS84), radians.
    height_m : above the ellipsoid, metres.
    """

    longitude_rad: float
    latitude_rad: float
    height_m: float

    @classmethod
    def from_itrf(cls, position_m: Vectors) -> "Site":
        """Make the site of an ITRF position (ERFA's gc2gd, WGS84).

        Parameters
        ----------
        position_m : geocentric, metres, shape (3,).
        """
        longitude, latitude, height = erfa.gc2gd(1, position_m)
        return cls(float(longitude), float(latitude), float(height))

    @property
    def itrf_m(self) -> Vectors:
        """ITRF position, shape (3,), metres."""
        return np.asarray(erfa.gd2gc(1, self.longitude_rad, self.latitude_rad, self.height_m))


TELESCOPE = Site(
    float(np.deg2rad(telescope.LONGITUDE_DEG)), float(np.deg2rad(telescope.LATITUDE_DEG)), telescope.HEIGHT_M
)


def meridian_icrs(site: Site, times_jd: Vectors, declination_rad: float) -> Vectors:
    """Return the ICRS right ascension and declination of hour angle 0 at an apparent declination.

    Parameters
    ----------
    site : the array's centre.
    times_jd : UTC Julian dates, shape (times,).
    declination_rad : observed declination, as the telescope points.

    Returns
    -------
    shape (times, 2), radians, right ascension in [0, 2π).
    """
    ra, dec = erfa.atoc13("H", 0.0, declination_rad, *_erfa_arguments(site, times_jd))
    return np.stack([np.mod(ra, 2 * np.pi), dec], axis=1)


def itrf_directions(site: Site, times_jd: Vectors, ra_rad: float | Vectors, dec_rad: float | Vectors) -> Vectors:
    """Return the ITRF directions from which a plane wave of an ICRS direction arrives.

    Parameters
    ----------
    site : the array's centre.
    times_jd : UTC Julian dates, shape (times,).
    ra_rad, dec_rad : ICRS, radians; broadcast against the times.

    Returns
    -------
    unit vectors, shape (times, 3).
    """
    _, _, hour_angle, declination, _, _ = erfa.atco13(
        ra_rad, dec_rad, 0.0, 0.0, 0.0, 0.0, *_erfa_arguments(site, times_jd)
    )
    return unit_vectors(site.longitude_rad - hour_angle, declination)


def meridian_direction(site: Site, declination_rad: float) -> Vectors:
    """Return the ITRF unit vector of hour angle 0 at a declination, shape (3,): the correlator fringe-stops to it.

    Parameters
    ----------
    site : the array's centre.
    declination_rad : apparent.
    """
    return unit_vectors(site.longitude_rad, declination_rad)


def uvw_axes(site: Site, times_jd: Vectors, ra_rad: float, dec_rad: float) -> Vectors:
    """Return the u, v and w unit vectors in ITRF.

    w points to the phase centre, v to ICRS north, u to the east, so that uvw = axes @ baseline.

    Parameters
    ----------
    site : the array's centre.
    times_jd : UTC Julian dates, shape (times,).
    ra_rad, dec_rad : phase centre, ICRS, radians.

    Returns
    -------
    shape (times, 3, 3), axes first.
    """
    w = itrf_directions(site, times_jd, ra_rad, dec_rad)
    v = itrf_directions(site, times_jd, ra_rad, dec_rad + _NORTH_STEP_RAD)
    v -= itrf_directions(site, times_jd, ra_rad, dec_rad - _NORTH_STEP_RAD)
    v -= np.sum(v * w, axis=1, keepdims=True) * w
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.stack([np.cross(v, w), v, w], axis=1)


def unit_vectors(longitude_rad: ArrayLike, latitude_rad: ArrayLike) -> Vectors:
    """Return unit vectors of spherical coordinates (radians), the broadcast shape with a last axis of 3.

    Parameters
    ----------
    longitude_rad, latitude_rad : such as right ascension and declination; broadcast against each other.
    """
    longitude, latitude = np.broadcast_arrays(longitude_rad, latitude_rad)
    equatorial = np.cos(latitude)
    return np.stack([equatorial * np.cos(longitude), equatorial * np.sin(longitude), np.sin(latitude)], axis=-1)


def sin_deproject(l: ArrayLike, m: ArrayLike, centre_rad: ArrayLike) -> Vectors:  # noqa: E741
    """Return the directions of direction cosines: the inverse SIN projection.

    Parameters
    ----------
    l, m : direction cosines to the east and north; broadcast against each other.
    centre_rad : right ascension and declination of the projection's centre, shape (2,).

    Returns
    -------
    unit vectors in the frame of `centre_rad`, the broadcast shape with a last axis of 3. Source: Calabretta & Greisen
    (2002, A&A 395, 1077), section 5.1.5.
    """
    ra, dec = np.asarray(centre_rad, dtype=np.float64)
    l, m = np.broadcast_arrays(l, m)  # noqa: E741
    n = np.sqrt(np.maximum(0, 1 - l * l - m * m))
    east, north = unit_vectors(ra + np.pi / 2, 0.0), unit_vectors(ra + np.pi, np.pi / 2 - dec)
    return np.asarray(l[..., None] * east + m[..., None] * north + n[..., None] * unit_vectors(ra, dec))


def separation_rad(first_rad: ArrayLike, second_rad: ArrayLike) -> Vectors:
    """Return the angle between directions by the haversine formula, which is exact at small angles.

    Parameters
    ----------
    first_rad, second_rad : longitude and latitude (such as ra, dec) in the last axis, radians; broadcast against
        each other.

    Returns
    -------
    radians, the broadcast shape without the last axis.
    """
    first, second = np.asarray(first_rad, dtype=np.float64), np.asarray(second_rad, dtype=np.float64)
    across = np.sin(0.5 * (first[..., 0] - second[..., 0])) ** 2
    along = np.sin(0.5 * (first[..., 1] - second[..., 1])) ** 2
    haversine = along + np.cos(first[..., 1]) * np.cos(second[..., 1]) * across
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(haversine, 0.0, 1.0))))


def _erfa_arguments(site: Site, times_jd: Vectors) -> tuple[Vectors | float, ...]:
    """UTC in two parts, UT1−UTC, site, polar motion, and an atmosphere without refraction, as ERFA takes them."""
    times = np.atleast_1d(times_jd)
    whole = np.floor(times)
    ut1_utc_s, x_rad, y_rad = earth_orientation().interpolate(times)
    position = (site.longitude_rad, site.latitude_rad, site.height_m)
    return (whole, times - whole, ut1_utc_s, *position, x_rad, y_rad, 0.0, 0.0, 0.0, 1.0)
