"""Sidereal windows and their keys: fixed in sidereal time, whatever the order of the tiles."""

import random
from collections import defaultdict

import pytest
from epoch_steps import direction_at
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.epoch.windows import Window, Windows, strip_of, strip_of_key, strip_of_tile

T0 = 1_771_802_271.0  # 2026-02-22T23:17:51
SIDEREAL_DAY_S = 86164.0905
WINDOWS = Windows()
TIMES = st.floats(T0 - 3e8, T0 + 3e8)


def group_into_epochs(times_s) -> dict[str, set[float]]:
    epochs = defaultdict(set)
    for time_s in times_s:
        for window in WINDOWS.containing(time_s):
            epochs[window.label].add(time_s)
    return epochs


@settings(max_examples=40)
@given(TIMES, st.lists(st.integers(0, 600), min_size=1, max_size=40, unique=True), st.randoms(use_true_random=False))
def test_order_gaps_and_repeats_do_not_change_epochs(start_s, numbers, shuffler: random.Random):
    times_s = [start_s + 309 * number for number in numbers]
    repeated = [*times_s, *times_s[::3]]
    shuffler.shuffle(repeated)
    whole = group_into_epochs(start_s + 309 * number for number in range(601))
    with_gaps = group_into_epochs(repeated)
    assert with_gaps == group_into_epochs(times_s)
    for label, members in with_gaps.items():
        assert members == whole[label] & set(times_s)


@given(TIMES)
def test_every_time_is_in_two_windows_of_an_hour(time_s):
    windows = WINDOWS.containing(time_s)
    assert len(windows) == 2
    for window in windows:
        assert window.start_s - 1e-3 <= time_s <= window.end_s + 1e-3
        assert window.end_s - window.start_s == pytest.approx(3600 * SIDEREAL_DAY_S / 86400, abs=1e-3)
        assert window.lst_min % 30 == 0
        assert WINDOWS.starting_at(window.start_s) == window


@given(TIMES, st.integers(-400, 400))
def test_windows_repeat_every_sidereal_day(time_s, days):
    first, again = (WINDOWS.containing(at_s) for at_s in (time_s, time_s + days * SIDEREAL_DAY_S))
    near_border = any(min(abs(time_s - w.start_s), abs(time_s - w.end_s)) < 0.1 for w in first)
    assert near_border or [window.lst_min for window in first] == [window.lst_min for window in again]


@given(st.integers(0, 47))
def test_labels_of_a_year_are_unique(number):
    start = WINDOWS.containing(T0)[0].start_min // 1440 * 1440 + 30 * number
    windows = [Window(start + 1440 * day, 60) for day in range(367)]
    labels = [window.label for window in windows]
    assert len(set(labels)) == len(labels)
    assert sorted(labels) == labels
    assert sum("b_" in label for label in labels) in (1, 2)


def test_window_agrees_with_astropy():
    from astropy.coordinates import EarthLocation
    from astropy.time import Time
    from astropy.utils import iers

    from contimg.instrument import dsa110

    window = WINDOWS.containing(T0)[-1]
    with iers.conf.set_temp("auto_download", False):
        site = EarthLocation.from_geodetic(dsa110.LONGITUDE_DEG, dsa110.LATITUDE_DEG)
        lst_h = Time(window.start_s, format="unix").sidereal_time("apparent", longitude=site.lon).hour
    assert lst_h == pytest.approx(window.lst_min / 60, abs=2.5 / 3600)


def test_other_widths_and_steps():
    assert len(Windows(60, 60).containing(T0)) == 1
    assert len(Windows(90, 30).containing(T0)) == 3
    assert {len(Windows(50, 30).containing(T0 + 60 * minute)) for minute in range(90)} == {1, 2}


@pytest.mark.parametrize(
    ("declination_deg", "strip"),
    [(16.3, 163), (16.25, 163), (16.2499999, 163), (16.2500001, 163), (-5.0, -50), (0.0, 0), (-0.04, 0), (89.96, 900)],
)
def test_strip_is_tenths_of_a_degree(declination_deg, strip):
    assert strip_of(declination_deg) == strip


@given(st.sampled_from([16.3, 37.0, 68.0, 16.25, -20.05]), TIMES)
def test_strip_of_a_pointing_is_the_same_all_day(declination_deg, time_s):
    """Precession moves the ICRS declination of a fixed pointing by up to 0.15 deg either way; RA wraps at 0 h."""
    ra_deg, dec_deg = direction_at(time_s, declination_deg)
    assert strip_of_tile(ra_deg, dec_deg, time_s) == strip_of(declination_deg)


def test_key_has_date_sidereal_time_and_strip():
    window = WINDOWS.containing(T0)[0]
    key = window.key(163)
    assert key == f"{window.label}_D+163"
    texts = (key, window.key(-50), "2026-02-22b_L0130_D+006", "2026-02-22T03:04:05")
    assert [strip_of_key(text) for text in texts] == [163, -50, 6, None]
