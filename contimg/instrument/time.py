"""Time scales as numbers: Unix seconds, Modified Julian Dates (MJD) and Julian Dates (JD), all in UTC."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

DAY_S = 86_400.0
SIDEREAL_DAY_S = 86_164.0905
EARTH_RAD_S = 2 * np.pi / SIDEREAL_DAY_S  # rate of the Earth's rotation
MJD_ZERO_JD = 2_400_000.5
UNIX_EPOCH_MJD = 40_587.0
UNIX_EPOCH_JD = UNIX_EPOCH_MJD + MJD_ZERO_JD

Time = TypeVar("Time", float, NDArray[np.float64])


def unix_to_mjd(time_s: Time) -> Time:
    """Convert seconds since 1970 to MJD in days.

    Parameters
    ----------
    time_s : UTC, seconds since 1970-01-01, which is MJD 40587; leap seconds are not counted.
    """
    return UNIX_EPOCH_MJD + time_s / DAY_S


def mjd_to_unix(mjd: Time) -> Time:
    """Convert MJD in days to seconds since 1970.

    Parameters
    ----------
    mjd : UTC, days.
    """
    return (mjd - UNIX_EPOCH_MJD) * DAY_S


def unix_to_jd(time_s: Time) -> Time:
    """Convert seconds since 1970 to JD in days.

    Parameters
    ----------
    time_s : UTC, seconds since 1970-01-01, which is JD 2440587.5; leap seconds are not counted.
    """
    return UNIX_EPOCH_JD + time_s / DAY_S


def jd_to_unix(jd: Time) -> Time:
    """Convert JD in days to seconds since 1970.

    Parameters
    ----------
    jd : UTC, days; a float holds it to 40 microseconds.
    """
    return (jd - UNIX_EPOCH_JD) * DAY_S


def jd_to_mjd_s(jd: Time) -> Time:
    """Convert JD in days to the MJD seconds of a Measurement Set.

    Parameters
    ----------
    jd : UTC, days; MJD = JD - 2400000.5.

    Returns
    -------
    MJD times 86400 s, as in the column TIME (MeasurementSet definition version 2.0, Kemball & Wieringa 2000).
    """
    return (jd - MJD_ZERO_JD) * DAY_S


def mjd_s_to_jd(mjd_s: Time) -> Time:
    """Convert the MJD seconds of a Measurement Set to JD in days.

    Parameters
    ----------
    mjd_s : UTC, MJD times 86400 s, as in the column TIME.
    """
    return mjd_s / DAY_S + MJD_ZERO_JD
