"""Transits of calibrators over the telescope's meridian."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import erfa
import numpy as np

from contimg.instrument.calibrators import SEARCH_RADIUS_RAD, Calibrator, catalogue
from contimg.instrument.coordinates import TELESCOPE, itrf_directions
from contimg.instrument.dsa110 import BAND, primary_beam
from contimg.instrument.time import DAY_S, MJD_ZERO_JD, SIDEREAL_DAY_S


@dataclass(frozen=True)
class Transit:
    """A calibrator on the meridian.

    Attributes
    ----------
    calibrator : the source.
    mjd : UTC, days.
    offset_rad : apparent declination less the telescope's, north positive.
    pb_response : response of the primary beam there, at mid-band.
    apparent_jy : flux density through the primary beam.
    seconds_in_beam : time for which the response stays above half of its maximum.
    """

    calibrator: Calibrator
    mjd: float
    offset_rad: float
    pb_response: float
    apparent_jy: float
    seconds_in_beam: float


def transits(
    day: date, declination_rad: float, min_pb_response: float, sources: Iterable[Calibrator] | None = None
) -> list[Transit]:
    """Return a day's transits through the primary beam, sorted by time.

    A source whose transit falls on both ends of the day (a sidereal day is four minutes shorter) is listed twice.

    Parameters
    ----------
    day : UTC.
    declination_rad : apparent declination that the telescope points at.
    min_pb_response : smallest response of the primary beam at the transit.
    sources : the catalogue when not given.
    """
    start_mjd = float(erfa.cal2jd(day.year, day.month, day.day)[1])
    passages = []
    for source in catalogue() if sources is None else sources:
        if abs(source.dec_rad - declination_rad) > SEARCH_RADIUS_RAD:
            continue
        mjd = _next_transit(source, start_mjd)
        while mjd < start_mjd + 1:
            passage = _transit(source, mjd, declination_rad)
            if passage.pb_response >= min_pb_response:
                passages.append(passage)
            mjd += SIDEREAL_DAY_S / DAY_S
    return sorted(passages, key=lambda passage: passage.mjd)


def _next_transit(source: Calibrator, start_mjd: float) -> float:
    """First time at or after `start_mjd` at which the hour angle is 0."""
    mjd = start_mjd
    for step in range(4):
        hour_angle, _ = _hour_angle(source, mjd)
        ahead = -hour_angle if step else (-hour_angle) % (2 * np.pi)
        mjd += ahead / (2 * np.pi) * SIDEREAL_DAY_S / DAY_S
    return mjd


def _hour_angle(source: Calibrator, mjd: float) -> tuple[float, float]:
    """Apparent hour angle in (-pi, pi] and declination, radians."""
    x, y, z = itrf_directions(TELESCOPE, np.array([mjd + MJD_ZERO_JD]), source.ra_rad, source.dec_rad)[0]
    hour_angle = (TELESCOPE.longitude_rad - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi
    return float(hour_angle), float(np.arcsin(z))


def _transit(source: Calibrator, mjd: float, declination_rad: float) -> Transit:
    _, apparent_rad = _hour_angle(source, mjd)
    offset = apparent_rad - declination_rad
    response = float(primary_beam(abs(offset), BAND.centre_hz))
    angles = np.linspace(0, SEARCH_RADIUS_RAD, 2000)
    track = primary_beam(np.hypot(offset, angles), BAND.centre_hz)
    half = float(angles[np.argmax(track < 0.5 * response)]) / np.cos(apparent_rad)
    return Transit(
        calibrator=source, mjd=mjd, offset_rad=offset, pb_response=response,
        apparent_jy=response * float(source.flux_jy(BAND.centre_hz)),
        seconds_in_beam=2 * half / (2 * np.pi) * SIDEREAL_DAY_S,
    )  # fmt: skip
