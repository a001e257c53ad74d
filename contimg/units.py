"""Durations and times as text."""

from datetime import UTC, datetime


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


def format_utc(time_s: float, form: str = "%Y-%m-%d %H:%M:%SZ") -> str:
    """Format a time as UTC, by default as `2026-02-22 23:17:51Z`.

    Parameters
    ----------
    time_s : seconds since 1970.
    form : format of strftime.
    """
    return datetime.fromtimestamp(time_s, UTC).strftime(form)
