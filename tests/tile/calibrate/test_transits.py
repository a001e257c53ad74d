from datetime import date

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.instrument.bundled_data import use_bundled_iers
from contimg.instrument.calibrators import Calibrator, cone_search, find_calibrator, transits
from contimg.instrument.dsa110 import BAND, primary_beam

SITE = EarthLocation.from_geodetic(-118.283 * u.deg, 37.2334051 * u.deg, 1188.0519 * u.m)


def test_transit_is_where_astropy_has_the_source_due_south():
    use_bundled_iers()
    by_label = {transit.calibrator.label: transit for transit in transits(date(2026, 2, 22), np.deg2rad(33.3), 0.3)}
    transit = by_label["3C48"]
    place = SkyCoord(transit.calibrator.ra_rad, transit.calibrator.dec_rad, unit="rad")
    at = Time(transit.mjd, format="mjd", scale="utc")
    horizontal = place.transform_to(AltAz(obstime=at, location=SITE))
    assert horizontal.az.deg == pytest.approx(180, abs=0.05)
    declination = 37.2334051 - (90 - horizontal.alt.deg)
    assert np.rad2deg(transit.offset_rad) == pytest.approx(declination - 33.3, abs=0.005)
    assert transit.pb_response == pytest.approx(float(primary_beam(transit.offset_rad, BAND.centre_hz)))
    assert transit.seconds_in_beam / 60 == pytest.approx(2.7 / np.cos(np.deg2rad(33.3)) / 360 * 1436, rel=0.05)


def test_day_has_every_transit_once_and_some_twice():
    """A sidereal day fits into a day with four minutes to spare: 1 of 365 sources transits twice."""
    around = [Calibrator(str(ra), "", np.deg2rad(ra), np.deg2rad(33.3), 5.0, -0.7, "P") for ra in range(0, 360)]
    predicted = transits(date(2026, 2, 22), np.deg2rad(33.3), 0.5, around)
    times = np.array([transit.mjd for transit in predicted])
    assert {transit.calibrator.name for transit in predicted} == {str(ra) for ra in range(360)}
    assert len(predicted) in (360, 361, 362)
    assert np.diff(times).min() > 0
    assert times[-1] - times[0] < 1


def test_names_and_aliases():
    assert {find_calibrator(name).name for name in ("3c 48", "J0137+331", "0134+329")} == {"0137+331"}
    assert find_calibrator("bllac").variable
    assert find_calibrator("3C454.3").variable
    assert not find_calibrator("3C286").variable
    with pytest.raises(BadInput, match="3C9999"):
        find_calibrator("3C9999")


def test_cone_search_equals_astropy():
    centre = SkyCoord(128.0 * u.deg, 55.0 * u.deg)
    matches = cone_search(centre.ra.rad, centre.dec.rad, np.deg2rad(5.0))
    expected = [calibrator for calibrator in everything() if calibrator[1] < 5.0]
    assert [calibrator.name for _, calibrator in matches] == [
        name for name, _ in sorted(expected, key=lambda pair: pair[1])
    ]
    assert any(calibrator.label == "4C55.16" for _, calibrator in matches)
    assert len(matches) > 2


def everything():
    from contimg.instrument.calibrators import catalogue

    centre = SkyCoord(128.0 * u.deg, 55.0 * u.deg)
    places = SkyCoord(
        [calibrator.ra_rad for calibrator in catalogue()],
        [calibrator.dec_rad for calibrator in catalogue()],
        unit="rad",
    )
    return [
        (calibrator.name, away) for calibrator, away in zip(catalogue(), places.separation(centre).deg, strict=True)
    ]


def run_command(*words):
    result = CliRunner().invoke(contimg, ["calibrators", *words], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def test_the_command_lists_a_days_transits_and_marks_the_variable():
    lines = run_command("--date", "2026-02-22", "--dec", "33.3", "--min-jy", "3").splitlines()
    line_3c48 = next(line for line in lines if "3C48" in line)
    assert line_3c48.startswith("2026-02-22 23:20:4")
    assert "16.21 Jy" in line_3c48
    assert "1.000" in line_3c48
    assert "phase" in run_command("--date", "2026-02-22", "--dec", "16.2", "--min-jy", "9")
    assert "99 Jy" in run_command("--date", "2026-02-22", "--dec", "33.3", "--min-jy", "99")


def test_command_finds_by_name_and_position():
    assert "15.06 Jy" in run_command("3C286")
    assert run_command("--near", "24.4,33.2").splitlines()[0].split()[2] == "0137+331"
    with pytest.raises(BadInput, match="--near"):
        run_command("--near", "somewhere")
    with pytest.raises(BadInput, match="YYYY-MM-DD"):
        run_command("--dec", "33", "--date", "yesterday")
