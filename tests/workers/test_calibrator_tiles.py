"""Directions on the meridian between whole hours."""

import numpy as np

from workers.scheduling import calibrator_tiles

DEC_RAD = np.deg2rad(33.16)


def test_directions_between_hours_are_good_to_arcseconds() -> None:
    times_s = 1_771_729_200.0 + 309.0 * np.arange(400)  # from a whole hour on, across right ascension 0
    exact = calibrator_tiles._exact_meridian_rad(times_s, DEC_RAD)
    between = calibrator_tiles._meridian_rad(times_s, DEC_RAD)
    ra_error_rad = (between[:, 0] - exact[:, 0] + np.pi) % (2 * np.pi) - np.pi
    assert np.ptp(exact[:, 0]) > 6.2
    assert np.rad2deg(np.abs(ra_error_rad).max()) * 3600 < 10
    assert np.rad2deg(np.abs(between[:, 1] - exact[:, 1]).max()) * 3600 < 10
    assert np.all((between[:, 0] >= 0) & (between[:, 0] < 2 * np.pi))
