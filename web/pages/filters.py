"""How the page says numbers, times and paths: with units, relative where that helps, never bare."""

from pathlib import Path

from contimg.units import format_duration, format_utc

FILTERS = (
    "ago", "whole", "span", "utc", "iso", "clock", "day", "flux", "count", "megabytes", "size", "percent", "position",
    "shortened", "file_name", "host_of",
)  # fmt: skip


def ago(seconds: float) -> str:
    """An age: `just now`, `42 s ago`, `12 min ago`."""
    return "just now" if seconds < 1.5 else f"{whole(seconds)} ago"


def whole(seconds: float) -> str:
    """A length of time without a fraction of a second, as a counter shows it."""
    return format_duration(round(seconds)).replace(".0 s", " s")


def span(seconds: float | None) -> str:
    """A length of time, or a dash."""
    return "–" if seconds is None else format_duration(seconds)


def utc(epoch_s: float) -> str:
    """A time for a person."""
    return format_utc(epoch_s, "%Y-%m-%d %H:%M:%S UTC")


def iso(epoch_s: float) -> str:
    """A time for a machine."""
    return format_utc(epoch_s, "%Y-%m-%dT%H:%M:%SZ")


def clock(epoch_s: float) -> str:
    """Hour and minute, UTC."""
    return format_utc(epoch_s, "%H:%M")


def day(epoch_s: float) -> str:
    """The day of a time that stands beside its hour: `21 Nov`."""
    return format_utc(epoch_s, "%-d %b")


def flux(jansky: float) -> str:
    """A flux density in Jy, mJy or μJy."""
    for unit, factor in (("Jy", 1.0), ("mJy", 1e3)):
        if abs(jansky) * factor >= 1:
            return f"{_three_digits(jansky * factor)} {unit}"
    return f"{_three_digits(jansky * 1e6)} μJy"


def count(number: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def megabytes(value: float | None) -> str:
    """Memory given in MB, or a dash."""
    if value is None:
        return "–"
    return f"{value / 1024:.1f} GB" if value >= 1024 else f"{value:.0f} MB"


def size(number: float | None) -> str:
    """An amount of bytes in the unit that reads best, or a dash."""
    if number is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5:
            return f"{number:.0f} B" if unit == "B" else f"{_three_digits(number)} {unit}"
        number /= 1000
    return f"{_three_digits(number)} TB"


def percent(part: float | None) -> str:
    """A fraction in per cent, or a dash."""
    return "–" if part is None else f"{100 * part:.1f} %"


def position(ra_deg: float, dec_deg: float) -> str:
    """A place on the sky: 01h37m41.3s +33°09′35″."""
    tenths = round((ra_deg % 360) / 15 * 36000) % 864000
    seconds = round(abs(dec_deg) * 3600)
    hours, minutes = f"{tenths // 36000:02d}h{tenths // 600 % 60:02d}m", f"{tenths % 600 / 10:04.1f}s"
    sign = "−" if dec_deg < 0 else "+"
    return f"{hours}{minutes} {sign}{seconds // 3600:02d}°{seconds // 60 % 60:02d}′{seconds % 60:02d}″"


def shortened(text: str, most: int = 160) -> str:
    """A text that fits; its end is cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def file_name(path: Path) -> str:
    """The last part of a path."""
    return path.name


def host_of(worker: str) -> str:
    """The machine of a Celery worker, `image@host`."""
    return worker.partition("@")[2] or worker


def _three_digits(value: float) -> str:
    digits = max(0, 2 - len(str(int(abs(value)))) + 1)
    return f"{value:.{digits}f}"
