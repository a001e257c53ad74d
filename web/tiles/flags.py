"""Flag summary of a tile: its figures, its pictures, and their description in words."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg.store import StoredMS
from contimg.tile.products import FLAGS, FlagFiles
from web.pages.filters import percent

MAX_NAMED = 5


@dataclass(frozen=True)
class FlagReport:
    """Fractions of a tile's samples that are flagged.

    Attributes
    ----------
    before, after : as converted, and after flagging.
    by_hand : flagged by hand.
    worst_antennas : names and fractions of those with flags, most flagged first, at most `MAX_NAMED`.
    worst_channel : frequency (Hz) and fraction of the most flagged channel.
    """

    before: float
    after: float
    by_hand: float
    worst_antennas: tuple[tuple[str, float], ...]
    worst_channel: tuple[float, float]

    @property
    def description(self) -> str:
        """What the pictures show, for those who do not see them."""
        parts = [f"{percent(self.after)} of the samples are flagged, {percent(self.before)} as converted."]
        if self.worst_antennas:
            antennas = ", ".join(f"{name} ({percent(fraction)})" for name, fraction in self.worst_antennas)
            freq_hz, fraction = self.worst_channel
            parts.append(f"Most flagged antennas: {antennas}.")
            parts.append(f"Most flagged channel: {freq_hz / 1e6:.1f} MHz ({percent(fraction)}).")
        return " ".join(parts)


def flag_files(ms: StoredMS) -> FlagFiles:
    """Return the paths of a Measurement Set's flag summary.

    Parameters
    ----------
    ms : the Measurement Set; the summary is in the directory `calibration/flags` beside it.
    """
    return FlagFiles.of(ms.path.parent / "calibration" / FLAGS, ms.path.name.removesuffix(".ms"))


def read_flag_report(path: Path) -> FlagReport | None:
    """Read the figures of a flag summary; None before the calibration, and where the file is gone or cannot be read.

    Parameters
    ----------
    path : the JSON file.
    """
    try:
        figures: dict[str, Any] = json.loads(path.read_text("utf-8"))
        antennas = sorted(((after, name) for name, (_, after) in figures["by_antenna"].items() if after), reverse=True)
        channels = zip(figures["freqs_hz"], figures["by_channel"], strict=True)
        return FlagReport(
            before=float(figures["before"]),
            after=float(figures["after"]),
            by_hand=float(figures["by_hand"]),
            worst_antennas=tuple((name, float(fraction)) for fraction, name in antennas[:MAX_NAMED]),
            worst_channel=max(((freq_hz, after) for freq_hz, (_, after) in channels), key=lambda channel: channel[1]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
