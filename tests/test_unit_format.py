"""Durations and times as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.common.units import (
    format_duration,
    format_measured_flux,
    format_position,
    format_utc,
    parse_moment,
    parse_position,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "2 min"), (5940, "99 min"),
     (5971, "1.7 h"), (36000, "10 h"), (172000, "48 h"), (172801, "2 d"), (9e6, "104 d")],
)  # fmt: skip
def test_duration_is_in_the_largest_suitable_unit(seconds, text):
    assert format_duration(seconds) == text


@given(st.floats(0, 1e8))
def test_duration_is_rounded_by_at_most_a_quarter(seconds):
    number, unit = format_duration(seconds).split()
    unit_s = {"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
    assert float(number) * unit_s == pytest.approx(seconds, rel=0.26, abs=0.051)


def test_time_is_utc():
    assert format_utc(1_771_802_271.0) == "2026-02-22 23:17:51Z"
    assert format_utc(1_771_802_271.9, "%H:%M:%S") == "23:17:51"


@pytest.mark.parametrize(("text", "time_s"), [
    ("90s", 1090.0), ("30min", 2800.0), ("2 h", 8200.0), ("1.5d", 130600.0), ("1970-01-01T01:00", 3600.0),
    ("1970-01-02", 86400.0), ("1970-01-01T01:00:00Z", 3600.0),
])  # fmt: skip
def test_moments_are_times_or_durations(text: str, time_s: float) -> None:
    assert parse_moment(text, 1000.0) == time_s


@pytest.mark.parametrize("text", ["", "soon", "8", "h", "-3h", "8 weeks", "2026-13-01", "٣h"])
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_moment(text, 1000.0)


@pytest.mark.parametrize("text", [
    "24.42208 +33.15972", "24.42208,33.15972", "24.42208° 33.15972°", "01:37:41.3 +33:09:35", "01 37 41.3 +33 09 35",
    "01h37m41.3s +33°09′35″", "1h37m41.3s, 33d09m35s", "01:37:41.3+33:09:35", "J013741.3+330935",
    "DSA J013741.3+330935",
])  # fmt: skip
def test_positions_are_degrees_or_sexagesimal(text: str) -> None:
    assert parse_position(text) == pytest.approx((24.42208, 33.15972), abs=1e-4)


@given(st.floats(0, 360), st.floats(-89, 89))
def test_formatted_position_is_read_again(ra_deg: float, dec_deg: float) -> None:
    ra, dec = parse_position(format_position(ra_deg, dec_deg).replace("−", "-"))
    assert abs((ra - ra_deg + 180) % 360 - 180) < 3e-4
    assert dec == pytest.approx(dec_deg, abs=2e-4)


@pytest.mark.parametrize("text", ["", "3C48", "24.4", "400 3", "12 95", "01:77:00 +33:00:00", "25:00:00 +33:00:00"])
def test_other_positions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"position|must be"):
        parse_position(text)


@pytest.mark.parametrize(("flux_jy", "error_jy", "text"), [
    (0.0402, 0.00048, "40.20 ± 0.48 mJy"), (-0.000414, 0.0005, "−0.41 ± 0.50 mJy"), (1.5, 0.012, "1.500 ± 0.012 Jy"),
    (0.2, 0.02, "200 ± 20 mJy"), (0.001, 0.0, "1.000 ± 0.000 mJy"),
])  # fmt: skip
def test_flux_and_error_have_the_digits_of_the_error(flux_jy: float, error_jy: float, text: str) -> None:
    assert format_measured_flux(flux_jy, error_jy) == text
