"""Template filters: numbers with units, times, and shortened texts."""

import re

from markupsafe import Markup, escape

from contimg.common.units import (
    format_duration,
    format_flux,
    format_measured_flux,
    format_position,
    format_utc,
    number_of,  # noqa: F401 (a filter)
    three_digits,
)
from contimg.instrument.time import mjd_to_unix  # noqa: F401 (a filter)

FILTERS = (
    "ago", "whole", "duration", "utc", "iso", "mjd_to_unix", "flux", "measured_flux", "count", "megabytes", "size",
    "percent", "position", "shortened", "code", "number_of",
)  # fmt: skip
flux, measured_flux, position = format_flux, format_measured_flux, format_position


def ago(seconds: float) -> str:
    """Format an age: `just now`, `42 s ago`, `12 min ago`.

    Parameters
    ----------
    seconds : the age, s; below 1.5 s it is `just now`.
    """
    return "just now" if seconds < 1.5 else f"{whole(seconds)} ago"


def whole(seconds: float) -> str:
    """Format a duration without a fraction of a second, as a counter shows it."""
    return format_duration(round(seconds)).replace(".0 s", " s")


def duration(seconds: float | None) -> str:
    """Format a duration, or a dash."""
    return "–" if seconds is None else format_duration(seconds)


def utc(epoch_s: float, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    """Format a time for people: `2026-02-22 03:04:05 UTC`.

    Parameters
    ----------
    epoch_s : time, epoch seconds.
    form : as of `strftime`.
    """
    return format_utc(epoch_s, form)


def iso(epoch_s: float) -> str:
    """Format a time in ISO 8601."""
    return format_utc(epoch_s, "%Y-%m-%dT%H:%M:%SZ")


def count(number: int) -> str:
    """Format an integer with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def megabytes(value: float | None) -> str:
    """Format memory given in MB (1024² bytes), or a dash.

    Parameters
    ----------
    value : memory, MB; None where it is unknown. From 1024 MB it is given in GB.
    """
    if value is None:
        return "–"
    return f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"


def size(size_bytes: float | None) -> str:
    """Format a number of bytes with three digits in B, kB, MB, GB or TB, or a dash.

    Parameters
    ----------
    size_bytes : bytes; None where it is unknown. The units are decimal: 1 kB is 1000 bytes.
    """
    if size_bytes is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size_bytes) < 999.5:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{three_digits(size_bytes)} {unit}"
        size_bytes /= 1000
    return f"{three_digits(size_bytes)} TB"


def percent(fraction: float | None) -> str:
    """Format a fraction in percent, or a dash.

    Parameters
    ----------
    fraction : 1 is 100 %; None where it is unknown.
    """
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def code(text: str) -> Markup:
    """Escape a text and mark what stands between backquotes as code.

    Parameters
    ----------
    text : as of a remedy: "Run `contimg workers`."
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def shortened(text: str, maximum: int = 160) -> str:
    """Cut a text to a maximum length.

    Parameters
    ----------
    text : the text.
    maximum : characters of the result, with the ellipsis that replaces what is cut off.
    """
    return text if len(text) <= maximum else text[: maximum - 1] + "…"
