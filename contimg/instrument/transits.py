"""When a calibrator crosses the meridian, and how the beam sees it then."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import erfa
import numpy as np
from astropy.coordinates import EarthLocation

from contimg.instrument.calibrators import FAR_RAD, Calibrator, catalogue
from contimg.instrument.coordinates import Site, itrf_directions
from contimg.instrument.dsa110 import BAND, primary_beam, stations

SIDEREAL_DAY_S = 86164.0905
_MJD_0_JD = 2_400_000.5


@dataclass(frozen=True)
class Transit:
    """One calibrator on the meridian.

    Attributes
    ----------
    mjd : UTC days.
    offset_rad : apparent declination less the telescope's: how far from the beam's centre it passes, north positive.
    attenuation : the primary beam's response there, at mid-band.
    apparent_jy : flux after it.
    seconds_in_beam : for how long the response stays over half of what it is at best.
    """

    calibrator: Calibrator
    mjd: float
    offset_rad: float
    attenuation: float
    apparent_jy: float
    seconds_in_beam: float


def transits(
    day: date, declination_rad: float, min_attenuation: float, sources: Iterable[Calibrator] | None = None
) -> list[Transit]:
    """A UTC day's transits through a beam that points at an apparent declination, in order of time.

    A source whose transit falls on both ends of the day (a sidereal day is four minutes shorter) is listed twice.
    """
    site, start_mjd = _site(), float(erfa.cal2jd(day.year, day.month, day.day)[1])
    found = []
    for source in catalogue() if sources is None else sources:
        if abs(source.dec_rad - declination_rad) > FAR_RAD:
            continue
        mjd = _next_transit(site, source, start_mjd)
        while mjd < start_mjd + 1:
            one = _seen(site, source, mjd, declination_rad)
            if one.attenuation >= min_attenuation:
                found.append(one)
            mjd += SIDEREAL_DAY_S / 86400.0
    return sorted(found, key=lambda one: one.mjd)


def _site() -> Site:
    live = [one for one in stations() if one.live]
    places = [EarthLocation.from_geodetic(one.longitude_deg, one.latitude_deg, one.elevation_m) for one in live]
    return Site.at(np.mean([[axis.to_value("m") for axis in place.to_geocentric()] for place in places], axis=0))


def _next_transit(site: Site, source: Calibrator, start_mjd: float) -> float:
    """The first time from `start_mjd` on at which the hour angle is 0."""
    mjd = start_mjd
    for step in range(4):
        hour_angle, _ = _hour_angle(site, source, mjd)
        ahead = -hour_angle if step else (-hour_angle) % (2 * np.pi)
        mjd += ahead / (2 * np.pi) * SIDEREAL_DAY_S / 86400.0
    return mjd


def _hour_angle(site: Site, source: Calibrator, mjd: float) -> tuple[float, float]:
    """Apparent hour angle in (-pi, pi] and declination, radians."""
    x, y, z = itrf_directions(site, np.array([mjd + _MJD_0_JD]), source.ra_rad, source.dec_rad)[0]
    hour_angle = (site.longitude_rad - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi
    return float(hour_angle), float(np.arcsin(z))


def _seen(site: Site, source: Calibrator, mjd: float, declination_rad: float) -> Transit:
    _, apparent_rad = _hour_angle(site, source, mjd)
    offset = apparent_rad - declination_rad
    attenuation = float(primary_beam(abs(offset), BAND.centre_hz))
    away = np.linspace(0, FAR_RAD, 2000)
    response = primary_beam(np.hypot(offset, away), BAND.centre_hz)
    half = float(away[np.argmax(response < 0.5 * attenuation)]) / np.cos(apparent_rad)
    return Transit(
        calibrator=source,
        mjd=mjd,
        offset_rad=offset,
        attenuation=attenuation,
        apparent_jy=attenuation * float(source.flux_jy(BAND.centre_hz)),
        seconds_in_beam=2 * half / (2 * np.pi) * SIDEREAL_DAY_S,
    )
