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

    def at(self, times_jd: Values) -> tuple[Values, Values, Values]:
        """UT1−UTC (s) and polar motion x and y (rad) at UTC Julian dates; a day outside the table has its end's."""
        mjd = np.clip(np.atleast_1d(times_jd) - 2400000.5, self.mjd[0], self.mjd[-1])
        day = np.clip(np.searchsorted(self.mjd, mjd, side="right") - 1, 0, self.mjd.size - 2)
        part = (mjd - self.mjd[day]) / (self.mjd[day + 1] - self.mjd[day])
        change = self.ut1_utc_s[day + 1] - self.ut1_utc_s[day]
        change -= np.round(change)  # a leap second comes at midnight, not little by little
        x, y = (column[day] + part * (column[day + 1] - column[day]) for column in (self.x_rad, self.y_rad))
        return self.ut1_utc_s[day] + part * change, x, y


@lru_cache(maxsize=1)
def earth_orientation() -> EarthOrientation:
    """The table, measured and predicted."""
    text = Path(astropy_iers_data.IERS_A_FILE).read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if line[58:68].strip()]
    mjd, x, y, ut1 = (
        np.array([float(line[begin:end]) for line in lines]) for begin, end in ((7, 15), (18, 27), (37, 46), (58, 68))
    )
    return EarthOrientation(mjd, ut1, x * _ARCSEC_RAD, y * _ARCSEC_RAD)
