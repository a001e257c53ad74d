"""The Earth's orientation: UT1−UTC and polar motion, from IERS Bulletin A as astropy's data package brings it.

Astropy's own reader takes 0.7 s for the 20,000 days, a tenth of a conversion; this one 30 ms. Format:
https://maia.usno.navy.mil/ser7/readme.finals2000A.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import astropy_iers_data  # type: ignore[import-untyped,unused-ignore]
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.time import MJD_ZERO_JD

Values = NDArray[np.float64]
_ARCSEC_RAD = np.pi / 180 / 3600


@dataclass(frozen=True)
class EarthOrientation:
    """Daily values, each of shape (days,).

    Attributes
    ----------
    mjd : midnight, UTC.
    ut1_utc_s : UT1−UTC, seconds.
    x_rad, y_rad : polar motion, radians.
    """

    mjd: Values
    ut1_utc_s: Values
    x_rad: Values
    y_rad: Values

    def interpolate(self, times_jd: Values) -> tuple[Values, Values, Values]:
        """Interpolate UT1−UTC and polar motion linearly; times outside the table get its first or last values.

        Parameters
        ----------
        times_jd : UTC Julian dates, shape (times,).

        Returns
        -------
        UT1−UTC in seconds, polar motion x and y in radians, each of shape (times,).
        """
        mjd = np.clip(np.atleast_1d(times_jd) - MJD_ZERO_JD, self.mjd[0], self.mjd[-1])
        day = np.clip(np.searchsorted(self.mjd, mjd, side="right") - 1, 0, self.mjd.size - 2)
        fraction = (mjd - self.mjd[day]) / (self.mjd[day + 1] - self.mjd[day])
        change = self.ut1_utc_s[day + 1] - self.ut1_utc_s[day]
        change -= np.round(change)  # a leap second comes at midnight, not gradually
        x, y = (column[day] + fraction * (column[day + 1] - column[day]) for column in (self.x_rad, self.y_rad))
        return self.ut1_utc_s[day] + fraction * change, x, y


@lru_cache(maxsize=1)
def earth_orientation() -> EarthOrientation:
    """Read the table of measured and predicted values."""
    text = Path(astropy_iers_data.IERS_A_FILE).read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if line[58:68].strip()]
    mjd, x, y, ut1 = (
        np.array([float(line[start:stop]) for line in lines]) for start, stop in ((7, 15), (18, 27), (37, 46), (58, 68))
    )
    return EarthOrientation(mjd, ut1, x * _ARCSEC_RAD, y * _ARCSEC_RAD)
