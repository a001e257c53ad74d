"""The Sun near a tile: its position against Astropy's, its response in the sidelobes, its disc on the baselines."""

import numpy as np
import pytest
from astropy.coordinates import get_sun
from astropy.time import Time

from contimg.instrument.bundled_data import use_bundled_iers
from contimg.instrument.coordinates import TELESCOPE
from contimg.instrument.dsa110 import DISH_DIAMETER_M, stations
from contimg.instrument.sun import QUIET_SUN_JY, describe_sun, disc_visibility, sidelobe_response, sun_position_rad
from contimg.simulation.drift import antenna_positions_m

FREQ_HZ = 1.4e9
NOON_MJD = Time("2026-06-21T19:56:00").mjd  # at 118.3 degrees west


@pytest.fixture(scope="module")
def positions_m():
    return TELESCOPE.itrf_m + antenna_positions_m()[: len(stations())]


@pytest.mark.parametrize("day", ["2026-01-03", "2026-03-20", "2026-06-21", "2026-10-11"])
def test_position_agrees_with_astropy(day):
    use_bundled_iers()
    position = np.rad2deg(sun_position_rad(Time(f"{day}T07:00:00").mjd))
    geocentric = get_sun(Time(f"{day}T07:00:00"))
    east = (position[0] - geocentric.ra.deg + 180) % 360 - 180
    assert np.hypot(east * np.cos(np.deg2rad(position[1])), position[1] - geocentric.dec.deg) < 0.01, "aberration"


def test_response_falls_to_that_of_an_isotropic_antenna():
    isotropic = (0.299792458 / 1.4 / np.pi / DISH_DIAMETER_M) ** 2
    assert sidelobe_response(0.0, FREQ_HZ, DISH_DIAMETER_M) == pytest.approx(1.0)
    assert sidelobe_response(np.deg2rad(60), FREQ_HZ, DISH_DIAMETER_M) == pytest.approx(isotropic)
    assert sidelobe_response(np.deg2rad(120), FREQ_HZ, DISH_DIAMETER_M) == pytest.approx(isotropic)
    assert 1.7e-4 < isotropic < 2.5e-4


def test_disc_is_resolved_out_on_long_baselines():
    """The first null of a uniform disc of 0.6 degrees is at 1.22 lambda / diameter, 25 m."""
    lengths_m = np.array([1.0, 24.95, 100.0, 1000.0])
    visibility = np.abs(disc_visibility(lengths_m, FREQ_HZ))
    assert visibility[0] > 0.99
    assert visibility[1] < 0.005
    assert visibility[2] < 0.03
    assert visibility[3] < 0.001


def test_sun_in_the_beam_and_below_the_horizon(positions_m):
    sun = np.array(sun_position_rad(NOON_MJD))
    near = describe_sun(sun, NOON_MJD, FREQ_HZ, DISH_DIAMETER_M, positions_m)
    assert near.sun_distance_deg == pytest.approx(0.0, abs=1e-4)
    assert 1e-4 * QUIET_SUN_JY < near.sun_jy < 0.2 * QUIET_SUN_JY
    far = describe_sun(sun + np.deg2rad([0, 40]), NOON_MJD, FREQ_HZ, DISH_DIAMETER_M, positions_m)
    assert far.sun_distance_deg == pytest.approx(40.0, abs=1e-3)
    assert 0 < far.sun_jy < 1e-3 * near.sun_jy
    imaged = describe_sun(sun, NOON_MJD, FREQ_HZ, DISH_DIAMETER_M, positions_m, min_baseline_m=214.0)
    assert 0 < imaged.sun_jy < 0.1 * near.sun_jy, "the core's short baselines have most of it"
    night = describe_sun(sun, NOON_MJD + 0.5, FREQ_HZ, DISH_DIAMETER_M, positions_m)
    assert night.sun_jy == 0.0
    unknown = describe_sun(sun, NOON_MJD, FREQ_HZ, np.nan, positions_m)
    assert unknown.sun_jy is None
    assert unknown.sun_distance_deg == near.sun_distance_deg
