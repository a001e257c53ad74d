"""Flag summary of a tile: its files, its figures, and their description in words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from contimg.common.errors import BadInput
from contimg.formats.records import about
from contimg.tile.products import FLAGS
from web.context import current_panel
from web.http.responses import product_file
from web.pages.filters import percent
from web.tiles.service import find_group

MAX_NAMED = 5
_Fractions = tuple[float, float]


@dataclass(frozen=True)
class FlagSummary:
    """Flagged fractions of a tile as converted, zeros and values that are not numbers included, and after flagging."""

    before: Annotated[float, about("Flagged part of the samples as converted", "fraction", 0.02)]
    after: Annotated[float, about("Flagged part of the samples after flagging", "fraction", 0.08)]
    by_hand: Annotated[float, about("Part of the samples that is flagged by hand", "fraction", 0.0)]
    dead: Annotated[Mapping[str, str], about("Dead antennas and the reason of each", example={"17": "no signal"})]
    by_antenna: Annotated[
        Mapping[str, _Fractions],
        about("By antenna, as converted and after flagging", "fraction", {"103": [0.02, 0.07]}),
    ]
    freqs_hz: Annotated[tuple[float, ...], about("Frequencies of the channels", "Hz", [1311250000.0, 1311494140.6])]
    by_channel: Annotated[
        tuple[_Fractions, ...],
        about("By channel, as converted and after flagging", "fraction", [[0.02, 0.07], [0.0, 1.0]]),
    ]

    @property
    def description(self) -> str:
        """The fractions in words, for those who do not see the pictures."""
        parts = [f"{percent(self.after)} of the samples are flagged, {percent(self.before)} as converted."]
        antennas = sorted(((after, name) for name, (_, after) in self.by_antenna.items() if after), reverse=True)
        if antennas:
            names = ", ".join(f"{name} ({percent(fraction)})" for fraction, name in antennas[:MAX_NAMED])
            parts.append(f"Most flagged antennas: {names}.")
        if any(after for _, after in self.by_channel):
            channels = zip((after for _, after in self.by_channel), self.freqs_hz, strict=False)
            fraction, freq_hz = max(channels)
            parts.append(f"Most flagged channel: {freq_hz / 1e6:.1f} MHz ({percent(fraction)}).")
        return " ".join(parts)


def flag_file(group: str, suffix: str) -> Path:
    """Return the path of a tile's flag summary, whether it exists or not.

    Parameters
    ----------
    group : id of the group.
    suffix : `.json`, `.png` or `.waterfall.png`.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    return current_panel().config().output_dir / "calibration" / FLAGS / f"{find_group(group).id}{suffix}"


def read_flag_summary(group: str) -> FlagSummary:
    """Return the flagged fractions of a tile.

    Parameters
    ----------
    group : id of the group.

    Raises
    ------
    RequestError, 404, when the store has no such group, or the group was not calibrated yet.
    """
    path = product_file(flag_file(group, ".json"), current_panel().config().output_dir, "flag summary")
    try:
        return FlagSummary(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path.name}: no flag summary ({error}); calibrate the tile again") from None
