import numpy as np
import pytest
from astropy.time import Time
from astropy.utils import iers

from contimg.instrument.earth_orientation import earth_orientation

DATES = [
    "1990-06-03T01:00",
    "2005-12-31T23:59:00",
    "2012-07-01T12:00",
    "2016-12-31T12:00",
    "2024-02-29",
    "2026-02-22T23:17:51",
]


def test_orientation_matches_astropy():
    times = Time(DATES, scale="utc")
    ut1_utc, x, y = earth_orientation().interpolate(times.jd)
    table = iers.earth_orientation_table.get()
    # Bulletin A against the final Bulletin B that astropy prefers: a tenth of a millisecond is 0.02 mm on 2.6 km.
    assert np.abs(ut1_utc - table.ut1_utc(times).to_value("s")).max() < 2e-4
    their_x, their_y = (angle.to_value("rad") for angle in table.pm_xy(times))
    assert max(np.abs(x - their_x).max(), np.abs(y - their_y).max()) < 5e-9


def test_leap_second_at_midnight():
    before, after = earth_orientation().interpolate(np.array([2457754.5 - 1e-5, 2457754.5]))[0]  # 2017-01-01
    assert after - before == pytest.approx(1.0, abs=1e-3)


def test_days_beyond_the_table():
    table = earth_orientation()
    ut1_utc = table.interpolate(np.array([2400000.5, 2500000.5]))[0]
    assert ut1_utc.tolist() == [table.ut1_utc_s[0], pytest.approx(table.ut1_utc_s[-1])]
