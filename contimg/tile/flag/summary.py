"""Flagged fractions of a tile before and after flagging, by antenna and by channel, as JSON and as a plot."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contimg.files.staging import staged
from contimg.formats.arrays import Mask, Slots
from contimg.formats.ms.info import MSInfo

Counts = NDArray[np.float64]


class FlagCount(NamedTuple):
    """Cross-correlation samples and how many are flagged; `add` counts rows.

    Attributes
    ----------
    samples, flagged : by antenna slot, each sample at both its antennas, shape (slots,).
    channel_samples, channel_flagged : by channel, shape (channels,).
    """

    samples: Counts
    flagged: Counts
    channel_samples: Counts
    channel_flagged: Counts

    @classmethod
    def empty(cls, slots: int, channels: int) -> "FlagCount":
        """Start a count of so many antenna slots and channels.

        Parameters
        ----------
        slots : number of antenna slots, those without data included.
        channels : number of channels.
        """
        return cls(np.zeros(slots), np.zeros(slots), np.zeros(channels), np.zeros(channels))

    def add(self, flags: Mask, ant1: Slots, ant2: Slots) -> None:
        """Count rows; autocorrelations are left out.

        Parameters
        ----------
        flags : shape (rows, channels, correlations).
        ant1, ant2 : antenna slots, shape (rows,).
        """
        _count(flags, ant1, ant2, self)

    @property
    def fraction(self) -> float:
        """Flagged fraction of all samples."""
        return float(self.flagged.sum() / max(self.samples.sum(), 1))

    @property
    def by_antenna(self) -> Counts:
        """Flagged fraction of each slot's samples; 0 where it has none."""
        return np.asarray(self.flagged / np.maximum(self.samples, 1))

    @property
    def by_channel(self) -> Counts:
        """Flagged fraction of each channel's samples."""
        return np.asarray(self.channel_flagged / np.maximum(self.channel_samples, 1))


@dataclass(frozen=True)
class FlagSummary:
    """Flags of one tile as converted (zeros and values that are not numbers included), and after flagging.

    Attributes
    ----------
    before, after : counts of them.
    by_hand : fraction of the samples that is flagged by hand.
    """

    before: FlagCount
    after: FlagCount
    by_hand: float

    def write(self, directory: Path, ms: MSInfo, dead: dict[int, str]) -> None:
        """Write `<tile>.json` and `<tile>.png`.

        Parameters
        ----------
        directory : where they are written.
        ms : metadata of the tile's Measurement Set.
        dead : slots of the dead antennas, and the reason of each.
        """
        with staged(directory / f"{ms.name}.json") as path:
            path.write_text(json.dumps(self._as_dict(ms, dead), indent=1) + "\n", "utf-8")
        with staged(directory / f"{ms.name}.png") as path:
            self._draw(ms).savefig(path, format="png")

    def _as_dict(self, ms: MSInfo, dead: dict[int, str]) -> dict[str, object]:
        by_antenna = np.stack([self.before.by_antenna, self.after.by_antenna], axis=1).round(5)
        by_channel = np.stack([self.before.by_channel, self.after.by_channel], axis=1).round(5)
        return {
            "before": self.before.fraction,
            "after": self.after.fraction,
            "by_hand": self.by_hand,
            "dead": {ms.antenna_names[slot]: reason for slot, reason in sorted(dead.items())},
            "by_antenna": {ms.antenna_names[slot]: by_antenna[slot].tolist() for slot in ms.antennas},
            "freqs_hz": ms.freqs_hz.tolist(),
            "by_channel": by_channel.tolist(),
        }

    def _draw(self, ms: MSInfo) -> Figure:
        figure = Figure(figsize=(12, 6), dpi=100, facecolor="white", layout="constrained")
        above, below = figure.subplots(2, 1)
        position, step = np.arange(ms.antennas.size), max(1, ms.antennas.size // 24)
        _plot_steps(above, position, self.before.by_antenna[ms.antennas], self.after.by_antenna[ms.antennas])
        above.set_xticks(position[::step], [ms.antenna_names[slot] for slot in ms.antennas[::step]], fontsize=8)
        above.set_xlabel("antenna")
        _plot_steps(below, ms.freqs_hz / 1e6, self.before.by_channel, self.after.by_channel)
        below.set_xlabel("MHz")
        above.legend(loc="upper right", fontsize=8)
        figure.suptitle(f"{ms.name}: flagged {self.before.fraction:.1%} as converted, {self.after.fraction:.1%} now")
        return figure


def _plot_steps(axes: Axes, x: NDArray[Any], before: Counts, after: Counts) -> None:
    axes.fill_between(x, after, step="mid", color="#c8551b", alpha=0.5, label="after flagging")
    axes.step(x, before, where="mid", color="#1f5fa8", label="as converted")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("flagged")
    axes.margins(x=0)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count(flags: Mask, ant1: Slots, ant2: Slots, count: FlagCount) -> None:
    rows, channels, correlations = flags.shape
    for row in range(rows):
        if ant1[row] == ant2[row]:
            continue
        of_row = 0
        for channel in range(channels):
            of_channel = 0
            for correlation in range(correlations):
                of_channel += flags[row, channel, correlation]
            count.channel_flagged[channel] += of_channel
            of_row += of_channel
        count.channel_samples[:] += correlations
        for slot in (ant1[row], ant2[row]):
            count.samples[slot] += channels * correlations
            count.flagged[slot] += of_row
