"""Durations, times, flux densities and directions as text, times and positions from text, and widths of Gaussians."""

import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))  # of a Gaussian
_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_RA = re.compile(r"(\d{1,2})[\s:hH]\s*(\d{1,2})(?:[\s:mM′']\s*(\d{1,2}(?:\.\d*)?)?\s*[s″\"]?)?")
_DEC = re.compile(r"([+−-]?)\s*(\d{1,2})[\s:d°]\s*(\d{1,2})(?:[\s:m′']\s*(\d{1,2}(?:\.\d*)?)?\s*[s″\"]?)?")
_DEGREES = re.compile(r"(\d{1,3}(?:\.\d*)?)\s*(?:deg|°)?\s*[,\s]\s*([+−-]?\d{1,2}(?:\.\d*)?)\s*(?:deg|°)?")
_NAME = re.compile(r"J(\d\d)(\d\d)(\d\d(?:\.\d*)?)([+−-])(\d\d)(\d\d)(\d\d(?:\.\d*)?)")


def format_duration(seconds: float) -> str:
    """Format a duration in the largest suitable unit: 0.8 s, 42 s, 12 min, 3.5 h, 4 d.

    Parameters
    ----------
    seconds : the duration.
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit, unit_s, unit in ((99.5, 1, "s"), (5970, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            value = seconds / unit_s
            return f"{value:.1f} {unit}" if unit == "h" and value < 9.95 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def number_of(number: int, noun: str) -> str:
    """Return a number with its noun: `1 tile`, `2 tiles`.

    Parameters
    ----------
    number : the number.
    noun : in the singular; its plural ends in s.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_utc(time_s: float, form: str = "%Y-%m-%d %H:%M:%SZ") -> str:
    """Format a time as UTC, by default as `2026-02-22 23:17:51Z`.

    Parameters
    ----------
    time_s : seconds since 1970.
    form : format of strftime.
    """
    return datetime.fromtimestamp(time_s, UTC).strftime(form)


def parse_time_span(text: str) -> tuple[float | None, float | None]:
    """Return the span that a year, month, day, hour, minute or second names.

    Parameters
    ----------
    text : an ISO 8601 time in UTC, with or without Z, or its beginning; or nothing.

    Returns
    -------
    tuple[float | None, float | None]
        Its first and last moment, epoch seconds; None for nothing.

    Raises
    ------
    ValueError
        When the text is no time from 1970 on.
    """
    if not text:
        return None, None
    text = text.removesuffix("Z")
    if not re.fullmatch(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?", text) or not 1970 <= int(text[:4]) < 9999:
        raise ValueError("must be a time from 1970 on, or its beginning: 2026, 2026-02, 2026-02-22, 2026-02-22T03:04")
    begin = datetime.fromisoformat(text + "1970-01-01T00:00:00Z"[len(text) :])
    if len(text) == 4:
        end = begin.replace(year=begin.year + 1)
    elif len(text) == 7:
        end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    else:
        end = begin + timedelta(seconds={10: 86400, 13: 3600, 16: 60, 19: 1}[len(text)])
    return begin.timestamp(), end.timestamp()


def format_flux(flux_jy: float) -> str:
    """Format a flux density in Jy, mJy or μJy.

    Parameters
    ----------
    flux_jy : flux density, Jy, of either sign.

    Returns
    -------
    three digits, in the greatest unit in which the absolute value is at least 1, else in μJy.
    """
    for unit, factor in (("Jy", 1.0), ("mJy", 1e3)):
        if abs(flux_jy) * factor >= 1:
            return f"{three_digits(flux_jy * factor)} {unit}"
    return f"{three_digits(flux_jy * 1e6)} μJy"


def format_measured_flux(flux_jy: float, error_jy: float) -> str:
    """Format a flux density with its error, in Jy or mJy, to two digits of the error: `40.21 ± 0.48 mJy`.

    Parameters
    ----------
    flux_jy, error_jy : flux density of either sign, and its standard error, Jy.
    """
    unit, factor = ("Jy", 1.0) if abs(flux_jy) >= 1 else ("mJy", 1e3)
    error = factor * error_jy
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 3
    return f"{factor * flux_jy:.{digits}f} ± {error:.{digits}f} {unit}".replace("-", "−")


def format_position(ra_deg: float, dec_deg: float) -> str:
    """Format a direction: 01h37m41.3s +33°09′35″.

    Parameters
    ----------
    ra_deg : right ascension, degrees; it is reduced to 0 to 360.
    dec_deg : declination, degrees.
    """
    tenths = round((ra_deg % 360) / 15 * 36000) % 864000
    arcsec = round(abs(dec_deg) * 3600)
    ra = f"{tenths // 36000:02d}h{tenths // 600 % 60:02d}m{tenths % 600 / 10:04.1f}s"
    return f"{ra} {'−' if dec_deg < 0 else '+'}{arcsec // 3600:02d}°{arcsec // 60 % 60:02d}′{arcsec % 60:02d}″"


def parse_position(text: str) -> tuple[float, float]:
    """Read a direction in degrees, sexagesimal, or as it stands in a source's name.

    Parameters
    ----------
    text : `24.4221 +33.1598`, `01:37:41.3 +33:09:35`, `01h37m41.3s +33°09′35″`, or `J013741.3+330935`; right ascension
        in hours and declination in degrees where it is sexagesimal.

    Returns
    -------
    tuple[float, float]
        Right ascension, 0 to 360, and declination, degrees.

    Raises
    ------
    ValueError : the text is none of these, or a part is outside its range.
    """
    text = text.strip()
    if degrees := _DEGREES.fullmatch(text):
        ra_deg, dec_deg = float(degrees[1]), float(degrees[2].replace("−", "-"))
    else:
        hours, sign, declination = _split_position(text)
        if max(*hours[1:], *declination[1:]) >= 60:
            raise ValueError(f"{text[:60]!r}: minutes and seconds must be below 60")
        ra_deg = 15 * (hours[0] + hours[1] / 60 + hours[2] / 3600)
        dec_deg = sign * (declination[0] + declination[1] / 60 + declination[2] / 3600)
    if ra_deg > 360 or abs(dec_deg) > 90:
        raise ValueError(f"{text[:60]!r}: right ascension must be 0 to 360°, declination −90° to +90°")
    return ra_deg % 360, dec_deg


def _split_position(text: str) -> tuple[list[float], int, list[float]]:
    """Hours, the sign of the declination, and degrees, each with minutes and seconds."""
    match = _NAME.search(text)
    if match is None:
        match = re.fullmatch(f"{_RA.pattern}[\\s,]*{_DEC.pattern}", text)
    if match is None:
        raise ValueError(f"{text[:60]!r}: no position; give 24.42 +33.16 (degrees) or 01:37:41.3 +33:09:35")
    parts = match.groups()
    hours, declination = ([float(part or 0) for part in group] for group in (parts[:3], parts[4:]))
    return hours, -1 if parts[3] in ("-", "−") else 1, declination


def three_digits(value: float) -> str:
    """Format a number with three digits, or with all of its integer part.

    Parameters
    ----------
    value : the number.
    """
    digits = max(0, 3 - len(str(int(abs(value)))))
    return f"{value:.{digits}f}"


def parse_moment(text: str, now_s: float) -> float:
    """Read a time, `2026-02-22T23:17`, or a duration from now: `90s`, `30min`, `8h`, `2d`.

    Parameters
    ----------
    text : an ISO 8601 time in UTC, with or without Z, or its beginning; or a duration.
    now_s : the present time, seconds since 1970.

    Returns
    -------
    float
        The time, seconds since 1970.

    Raises
    ------
    ValueError : the text is neither.
    """
    if duration := re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?) ?(s|min|m|h|d)", text, re.ASCII):
        return now_s + float(duration[1]) * _UNITS_S[duration[2]]
    begin = None
    with suppress(ValueError):
        begin = parse_time_span(text)[0]
    if begin is None:
        raise ValueError(f"{text[:40]!r}: neither a time (2026-02-22T23:17) nor a duration (90s, 30min, 8h, 2d)")
    return begin
