"""Directions on the sky as Earth-fixed unit vectors, by Astropy alone.

Astropy's AltAz (pressure 0: no refraction) gives the apparent direction including aberration,
precession-nutation, UT1 and polar motion; the horizon frame's east, north and up convert it to ITRS, the frame of the
antenna positions.
"""

import numpy as np
from astropy import units
from astropy.coordinates import ICRS, AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from numpy.typing import ArrayLike, NDArray

from contimg.instrument import dsa110 as telescope
from contimg.instrument.bundled_data import use_bundled_iers

SIDEREAL_PER_SOLAR = 1.00273790935  # turns of the Earth against the stars in a day of UT1
SITE = EarthLocation.from_geodetic(
    telescope.LONGITUDE_DEG * units.deg, telescope.LATITUDE_DEG * units.deg, telescope.HEIGHT_M * units.m
)


def horizon_axes() -> NDArray[np.float64]:
    """Return east, north and up at the site as rows in ITRS, shape (3, 3)."""
    lon, lat = np.deg2rad(telescope.LONGITUDE_DEG), np.deg2rad(telescope.LATITUDE_DEG)
    east = [-np.sin(lon), np.cos(lon), 0.0]
    north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
    up = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    return np.array([east, north, up])


def _altaz(times_jd: NDArray[np.float64]) -> AltAz:
    use_bundled_iers()
    return AltAz(obstime=Time(times_jd, format="jd", scale="utc"), location=SITE)


def source_directions(ra_deg: ArrayLike, dec_deg: ArrayLike, times_jd: ArrayLike) -> NDArray[np.float64]:
    """Return apparent directions of ICRS positions.

    Parameters
    ----------
    ra_deg, dec_deg : ICRS, degrees, shape (sources,).
    times_jd : UTC Julian dates, shape (times,).

    Returns
    -------
    ITRS unit vectors towards the sources, shape (times, sources, 3).
    """
    sky = SkyCoord(np.atleast_1d(ra_deg) * units.deg, np.atleast_1d(dec_deg) * units.deg, frame="icrs")
    apparent = sky[np.newaxis, :].transform_to(_altaz(np.atleast_1d(np.asarray(times_jd, dtype=float))[:, np.newaxis]))
    az, alt = apparent.az.rad, apparent.alt.rad
    horizon = np.stack([np.cos(alt) * np.sin(az), np.cos(alt) * np.cos(az), np.sin(alt)], axis=-1)
    return np.asarray(horizon @ horizon_axes())


def meridian_direction(apparent_dec_rad: float, hour_angle_rad: float = 0.0) -> NDArray[np.float64]:
    """Return the ITRS unit vector at an apparent declination and hour angle (positive west) of the site, shape (3,).

    Parameters
    ----------
    apparent_dec_rad : of date.
    hour_angle_rad : positive to the west.
    """
    longitude = np.deg2rad(telescope.LONGITUDE_DEG) - hour_angle_rad
    in_equator = np.cos(apparent_dec_rad)
    return np.array([in_equator * np.cos(longitude), in_equator * np.sin(longitude), np.sin(apparent_dec_rad)])


def horizon_directions(azimuths_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ITRS unit vectors to the horizon, azimuths from north through east, shape (azimuths, 3).

    Parameters
    ----------
    azimuths_rad : from north through east, shape (azimuths,).
    """
    level = np.stack([np.sin(azimuths_rad), np.cos(azimuths_rad), np.zeros_like(azimuths_rad)], axis=-1)
    return np.asarray(level @ horizon_axes())


def icrs_of(direction: NDArray[np.float64], time_jd: float) -> SkyCoord:
    """Return the ICRS position in an ITRS direction, shape (3,), at a UTC Julian date.

    Parameters
    ----------
    direction : unit vector, shape (3,).
    time_jd : UTC Julian date.
    """
    east, north, up = horizon_axes() @ direction
    azimuth, altitude = np.arctan2(east, north), np.arctan2(up, np.hypot(east, north))
    apparent = SkyCoord(az=azimuth * units.rad, alt=altitude * units.rad, frame=_altaz(np.asarray(time_jd)))
    return apparent.transform_to(ICRS())


def transit(ra_deg: float, dec_deg: float, date: str) -> tuple[float, float]:
    """Return the first transit of a position over the site's meridian on a UTC date.

    Parameters
    ----------
    ra_deg, dec_deg : ICRS.
    date : YYYY-MM-DD.

    Returns
    -------
    UTC Julian date, and apparent declination in radians.
    """
    time_jd = float(Time(date, scale="utc").jd)
    longitude = np.deg2rad(telescope.LONGITUDE_DEG)
    for step in range(5):
        x, y, z = source_directions(ra_deg, dec_deg, time_jd)[0, 0]
        east_of_meridian = np.arctan2(y, x) - longitude
        # The first step goes forward to the next transit, later ones correct it in either direction.
        turns = (east_of_meridian / (2 * np.pi)) % 1.0
        if step and turns > 0.5:
            turns -= 1.0
        time_jd += turns / SIDEREAL_PER_SOLAR
    return time_jd, float(np.arcsin(z))


def antenna_positions_m() -> NDArray[np.float64]:
    """Return the position of every station relative to the site, ITRS axes, metres, shape (117, 3)."""
    slots = telescope.stations()
    locations = EarthLocation.from_geodetic(
        [station.longitude_deg for station in slots] * units.deg,
        [station.latitude_deg for station in slots] * units.deg,
        [station.elevation_m for station in slots] * units.m,
    )
    centre = np.array([SITE.x.to_value(units.m), SITE.y.to_value(units.m), SITE.z.to_value(units.m)])
    absolute = np.stack([axis.to_value(units.m) for axis in (locations.x, locations.y, locations.z)], axis=-1)
    return np.asarray(absolute - centre)


def meridian_uvw_m(baselines_m: NDArray[np.float64], apparent_dec_rad: float) -> NDArray[np.float64]:
    """Return baselines as u to the east, v to the north, w to the meridian at a declination.

    Parameters
    ----------
    baselines_m : ITRS, metres, shape (baselines, 3).
    apparent_dec_rad : declination of the w axis.

    Returns
    -------
    metres, shape (baselines, 3).
    """
    lon, dec = np.deg2rad(telescope.LONGITUDE_DEG), apparent_dec_rad
    u_axis = [-np.sin(lon), np.cos(lon), 0.0]
    v_axis = [-np.sin(dec) * np.cos(lon), -np.sin(dec) * np.sin(lon), np.cos(dec)]
    return np.asarray(baselines_m @ np.array([u_axis, v_axis, meridian_direction(dec)]).T)
