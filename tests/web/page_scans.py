"""Scans of an open page in the browser: numbers without a unit, ticks that occur twice, columns that are cut off."""

from pathlib import Path
from typing import Any

# A number may be followed by a unit, or by the noun that is counted.
UNITS = (
    "s", "ms", "min", "h", "d", "y", "%", "²", "B", "kB", "MB", "GB", "TB", "Jy", "mJy", "μJy", "Hz", "kHz", "MHz",
    "GHz", "m", "km", "×", "°", "′", "″", "λ", "kλ", "K", "deg", "deg²", "square", "σ", "UTC", "MJD", "LST", "sidereal",
    "±",
)  # fmt: skip
NOUNS = (
    "groups?", "tiles?", "images?", "stages?", "subbands?", "files?", "alerts?", "sources?", "antennas?", "channels?",
    "integrations?", "pixels?", "iterations?", "events?", "attempts?", "workers?", "restarts?", "running", "queued",
    "busy", "done", "failed", "quarantined", "on", "more", "convert", "calibrate", "image", "nights?", "times?",
    "strips?", "gaps?", "rows?", "lines?", "tables?", "sets?", "baselines?", "solutions?", "samples?", "viewers?",
    "collecting", "pending", "all", "good", "suspect", "bad",
    "not graded", "in progress", "completed", "discarded", "repeats?", "errors?", "warnings?", "selected",
    "keys?", "dishes", "stations?", "of", "to", "per", "points?", "mosaics?", "measurements?", "reasons?",
    "candidates?", "new", "watching", "confirmed", "dismissed", "withdrawn",
)  # fmt: skip
# A label or heading that states the kind of a number without a unit.
LABELS = (
    "subbands?", "attempts?", "antennas?", "channels?", "integrations?", "sources?", "iterations?", "images?", "tiles?",
    "groups?", "files?", "pid", "tables?", "reference antenna", "refant", "set", "name", "id", "limit", "samples?",
    "process(es)?", "group", "stage", "rule", "caltable set", "calibrator", "version", "host", "number of .*",
    "missing subbands", "bad antennas", "flagged antennas", "setting", "file", "text", "error", "dynamic range",
    "(missing )?tiles?", "(.* )?over .*", ".*, (beams|arcsec)", "S/N", "assumed spectral index", "tile images",
    "sources shared by tiles", "fluxes", "flux ratio", "measurements?( .*)?", "η", "vs?", "m",
)  # fmt: skip

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
OPEN_ALL = "() => document.querySelectorAll('main details').forEach((details) => { details.open = true; })"


def scan_page(page: Any) -> list[str]:
    """Numbers without a unit and ticks that occur twice."""
    page.evaluate(OPEN_ALL)
    page.evaluate(SCRIPT)
    faults: list[str] = page.evaluate("(words) => [...scanUnits(words), ...scanTicks()]", [UNITS, NOUNS, LABELS])
    return faults


def scan_columns(page: Any) -> list[str]:
    """Cells of tables that reach beyond the screen or their frame."""
    page.evaluate(SCRIPT)
    columns: list[str] = page.evaluate("scanColumns()")
    return columns
