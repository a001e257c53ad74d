"""How much of a tile is flagged, before and after flagging, by antenna and by channel: counted, kept, drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contimg.files.staging import staged

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class FlagCount:
    """Cross-correlation samples and how many are flagged; `add` counts rows.

    Attributes
    ----------
    samples, flagged : by antenna slot, each sample at both its ends, shape (slots,).
    channel_samples, channel_flagged : by channel, shape (channels,).
    """

    samples: Counts
    flagged: Counts
    channel_samples: Counts
    channel_flagged: Counts

    @classmethod
    def of(cls, slots: int, channels: int) -> "FlagCount":
        """Nothing counted yet."""
        return cls(np.zeros(slots), np.zeros(slots), np.zeros(channels), np.zeros(channels))

    def add(self, flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        """Count rows: flags (rows, channels, correlations), antenna slots (rows,)."""
        _count(flags, first, second, self.samples, self.flagged, self.channel_samples, self.channel_flagged)

    @property
    def fraction(self) -> float:
        """Flagged part of everything."""
        return float(self.flagged.sum() / max(self.samples.sum(), 1))

    @property
    def by_antenna(self) -> Counts:
        """Flagged part of each slot's samples; 0 where it has none."""
        return np.asarray(self.flagged / np.maximum(self.samples, 1))

    @property
    def by_channel(self) -> Counts:
        """Flagged part of each channel's samples."""
        return np.asarray(self.channel_flagged / np.maximum(self.channel_samples, 1))


@dataclass(frozen=True)
class FlagSummary:
    """One tile's flags: as converted (zeros and what is no number included), and after flagging."""

    before: FlagCount
    after: FlagCount

    def write(
        self,
        directory: Path,
        tile: str,
        names: Sequence[str],
        antennas: NDArray[np.int64],
        freqs_hz: NDArray[np.float64],
        dead: dict[int, str],
    ) -> None:
        """Write `<tile>.json` and `<tile>.png`; `names` of all slots, `antennas` the slots that are in the data."""
        with staged(directory / f"{tile}.json") as path:
            path.write_text(json.dumps(self._plain(names, antennas, freqs_hz, dead), indent=1) + "\n", "utf-8")
        with staged(directory / f"{tile}.png") as path, path.open("wb") as file:
            FigureCanvasAgg(self._drawn(tile, names, antennas, freqs_hz)).print_png(file)

    def _plain(
        self, names: Sequence[str], antennas: NDArray[np.int64], freqs_hz: NDArray[np.float64], dead: dict[int, str]
    ) -> dict[str, object]:
        def both(before: Counts, after: Counts) -> list[list[float]]:
            return [[round(float(one), 5), round(float(other), 5)] for one, other in zip(before, after, strict=True)]

        by_antenna = both(self.before.by_antenna[antennas], self.after.by_antenna[antennas])
        return {
            "before": self.before.fraction,
            "after": self.after.fraction,
            "dead": {names[slot]: reason for slot, reason in sorted(dead.items())},
            "by_antenna": dict(zip((names[slot] for slot in antennas), by_antenna, strict=True)),
            "freqs_hz": [float(one) for one in freqs_hz],
            "by_channel": both(self.before.by_channel, self.after.by_channel),
        }

    def _drawn(
        self, tile: str, names: Sequence[str], antennas: NDArray[np.int64], freqs_hz: NDArray[np.float64]
    ) -> Figure:
        figure = Figure(figsize=(12, 6), dpi=100, facecolor="white", layout="constrained")
        above, below = figure.subplots(2, 1)
        at = np.arange(antennas.size)
        _steps(above, at, self.before.by_antenna[antennas], self.after.by_antenna[antennas])
        every = max(1, antennas.size // 24)
        above.set_xticks(at[::every], [names[slot] for slot in antennas[::every]], fontsize=8)
        above.set_xlabel("antenna")
        _steps(below, freqs_hz / 1e6, self.before.by_channel, self.after.by_channel)
        below.set_xlabel("MHz")
        above.legend(loc="upper right", fontsize=8)
        figure.suptitle(f"{tile}: flagged {self.before.fraction:.1%} as converted, {self.after.fraction:.1%} now")
        return figure


def _steps(axes: Axes, x: NDArray[Any], before: Counts, after: Counts) -> None:
    axes.fill_between(x, after, step="mid", color="#c8551b", alpha=0.5, label="after flagging")
    axes.step(x, before, where="mid", color="#1f5fa8", label="as converted")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("flagged")
    axes.margins(x=0)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count(
    flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32], samples: Counts, flagged: Counts,
    channel_samples: Counts, channel_flagged: Counts,
) -> None:  # fmt: skip
    rows, channels, correlations = flags.shape
    hits = np.zeros(channels, dtype=np.int64)
    crossed = 0
    for row in range(rows):
        if first[row] == second[row]:
            continue
        crossed += 1
        of_row = 0
        for channel in range(channels):
            of_channel = 0
            for correlation in range(correlations):
                of_channel += flags[row, channel, correlation]
            hits[channel] += of_channel
            of_row += of_channel
        for slot in (first[row], second[row]):
            samples[slot] += channels * correlations
            flagged[slot] += of_row
    for channel in range(channels):
        channel_samples[channel] += crossed * correlations
        channel_flagged[channel] += hits[channel]
