"""Sidereal windows: which tiles of a declination strip make one epoch.

Window k of a sidereal day is the local sidereal time from k × step to k × step + width. It is fixed in sidereal time,
so that the same tiles make the same epochs whatever their order of arrival, after an outage, and in a reprocessing.
Light to import: no numerical library.
"""

import math
import re
from dataclasses import dataclass

from contimg.common.units import format_utc
from contimg.instrument.dsa110 import LONGITUDE_DEG
from contimg.instrument.time import mjd_to_unix, unix_to_mjd

SIDEREAL_DAY_MIN = 1440  # minutes of sidereal time
_MINUTES_PER_DEG = 4.0
_J2000_MJD = 51_544.5
_KEY = re.compile(r"\d{4}-\d{2}-\d{2}b?_L\d{4}_D([+-]\d{3,4})")


def sidereal_minutes(mjd: float) -> float:
    """Return the local mean sidereal time of the telescope, without reduction to one day, minutes.

    Parameters
    ----------
    mjd : UTC, days, taken for UT1, which differs by less than 0.9 s. Meeus, Astronomical Algorithms (2nd ed.),
        equation 12.4, without the term in T², which is below 0.1″ in this century.
    """
    return _MINUTES_PER_DEG * (280.46061837 + LONGITUDE_DEG + 360.98564736629 * (mjd - _J2000_MJD))


def _mjd_of(minutes: float) -> float:
    """The inverse of `sidereal_minutes`."""
    return _J2000_MJD + (minutes / _MINUTES_PER_DEG - 280.46061837 - LONGITUDE_DEG) / 360.98564736629


@dataclass(frozen=True, order=True)
class Window:
    """A window of one sidereal day.

    Attributes
    ----------
    start_min : its beginning as `sidereal_minutes` counts them.
    width_min : its length, minutes of sidereal time.
    """

    start_min: int
    width_min: int

    @property
    def start_s(self) -> float:
        """Beginning, UTC, epoch seconds."""
        return mjd_to_unix(_mjd_of(self.start_min))

    @property
    def end_s(self) -> float:
        """End, UTC, epoch seconds; it does not belong to the window."""
        return mjd_to_unix(_mjd_of(self.start_min + self.width_min))

    @property
    def lst_min(self) -> int:
        """Local sidereal time of its beginning, minutes."""
        return self.start_min % SIDEREAL_DAY_MIN

    @property
    def label(self) -> str:
        """UTC date and local sidereal time of its beginning, `2026-02-22_L0130`.

        A sidereal day is 236 s shorter than a day: on one date a year a window begins twice, and the second time the
        date is followed by `b`.
        """
        date = _date(self.start_s)
        previous = Window(self.start_min - SIDEREAL_DAY_MIN, self.width_min)
        second = "b" if _date(previous.start_s) == date else ""
        return f"{date}{second}_L{self.lst_min // 60:02d}{self.lst_min % 60:02d}"

    def key(self, strip: int) -> str:
        """Return the key of the epoch of a declination strip, `2026-02-22_L0130_D+163`.

        Parameters
        ----------
        strip : of `strip_of`.
        """
        return f"{self.label}_D{strip:+04d}"

    def contains(self, time_s: float) -> bool:
        """Return whether a time is in the window.

        Parameters
        ----------
        time_s : UTC, epoch seconds.
        """
        return self.start_min <= sidereal_minutes(unix_to_mjd(time_s)) < self.start_min + self.width_min


@dataclass(frozen=True)
class Windows:
    """The windows of every sidereal day: `width_min` long, one every `step_min` minutes of sidereal time."""

    width_min: int = 60
    step_min: int = 30

    def containing(self, time_s: float) -> tuple[Window, ...]:
        """Return the windows that hold a time, in order.

        Parameters
        ----------
        time_s : UTC, epoch seconds; the middle of a tile.
        """
        last = math.floor(sidereal_minutes(unix_to_mjd(time_s)) / self.step_min)
        numbers = range(last - -(-self.width_min // self.step_min), last + 1)
        windows = (Window(number * self.step_min, self.width_min) for number in numbers)
        return tuple(window for window in windows if window.contains(time_s))

    def starting_at(self, start_s: float) -> Window:
        """Return the window that begins at a time, to the minute of sidereal time.

        Parameters
        ----------
        start_s : UTC, epoch seconds.
        """
        return Window(round(sidereal_minutes(unix_to_mjd(start_s))), self.width_min)


def strip_of(declination_deg: float) -> int:
    """Return the number of a declination strip: the apparent declination in tenths of a degree.

    Parameters
    ----------
    declination_deg : apparent, degrees; rounded to hundredths first, so that 16.25 and 16.2499999 are of one strip.
    """
    return math.floor(round(declination_deg * 100) / 10 + 0.5)


def strip_of_tile(ra_deg: float, dec_deg: float, time_s: float) -> int:
    """Return the declination strip of a tile, from the direction of its phase centre.

    The ICRS declination of a fixed pointing varies by 0.15° with right ascension, because of precession; the apparent
    declination is that of the pointing.

    Parameters
    ----------
    ra_deg, dec_deg : phase centre, ICRS, degrees.
    time_s : middle of the tile, UTC, epoch seconds.
    """
    import numpy as np  # imported here: only the process that commits an image needs it

    from contimg.instrument.coordinates import TELESCOPE, itrf_directions
    from contimg.instrument.time import unix_to_jd

    times_jd = np.array([unix_to_jd(time_s)])
    direction = itrf_directions(TELESCOPE, times_jd, np.deg2rad(ra_deg), np.deg2rad(dec_deg))[0]
    return strip_of(float(np.rad2deg(np.arcsin(direction[2]))))


def strip_of_key(key: str) -> int | None:
    """Return the declination strip in the key of an epoch; None for a text of another form.

    Parameters
    ----------
    key : `2026-02-22_L0130_D+163`.
    """
    match = _KEY.fullmatch(key)
    return int(match[1]) if match else None


def _date(time_s: float) -> str:
    return format_utc(time_s, "%Y-%m-%d")
