"""Flagged fractions of a tile before and after flagging, by antenna, time and channel, as JSON and as plots."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contimg.common.files.staging import staged
from contimg.formats.arrays import Mask, Rows, Slots
from contimg.formats.ms.info import MSInfo
from contimg.tile.products import ChannelInterference

Counts = NDArray[np.float64]


class FlagCount(NamedTuple):
    """Cross-correlation samples and how many are flagged; `add` counts rows.

    Attributes
    ----------
    samples : by antenna slot, each sample at both its antennas, shape (slots,).
    flagged : of these by antenna slot and channel, shape (slots, channels).
    time_samples : by integration, each sample once, shape (times,).
    time_flagged : of these by integration and channel, shape (times, channels).
    """

    samples: Counts
    flagged: Counts
    time_samples: Counts
    time_flagged: Counts

    @classmethod
    def empty(cls, slots: int, times: int, channels: int) -> "FlagCount":
        """Start a count.

        Parameters
        ----------
        slots : number of antenna slots, those without data included.
        times : number of integrations.
        channels : number of channels.
        """
        return cls(np.zeros(slots), np.zeros((slots, channels)), np.zeros(times), np.zeros((times, channels)))

    def add(self, flags: Mask, ant1: Slots, ant2: Slots, times: Rows) -> None:
        """Count rows; autocorrelations are left out.

        Parameters
        ----------
        flags : shape (rows, channels, correlations).
        ant1, ant2 : antenna slots, shape (rows,).
        times : indices of the integrations, shape (rows,).
        """
        _count(flags, ant1, ant2, times, self)

    @property
    def fraction(self) -> float:
        """Flagged fraction of all samples."""
        return float(self.time_flagged.sum() / max(self.time_samples.sum(), 1))

    @property
    def by_antenna(self) -> Counts:
        """Flagged fraction of each slot's samples; 0 where it has none."""
        return np.asarray(self.flagged.sum(axis=1) / np.maximum(self.samples, 1))

    @property
    def by_channel(self) -> Counts:
        """Flagged fraction of each channel's samples."""
        channels = self.time_flagged.shape[1]
        return np.asarray(self.time_flagged.sum(axis=0) * channels / max(self.time_samples.sum(), 1))

    @property
    def by_antenna_and_channel(self) -> Counts:
        """Flagged fraction of each slot's samples of each channel, shape (slots, channels); NaN where it has none."""
        return _divide(self.flagged, self.samples)

    @property
    def by_time_and_channel(self) -> Counts:
        """Flagged fraction by integration and channel, shape (times, channels); NaN where there is no sample."""
        return _divide(self.time_flagged, self.time_samples)


def _divide(flagged: Counts, samples: Counts) -> Counts:
    """Divide counts of shape (rows, channels) by samples of all channels, shape (rows,)."""
    fractions = np.full_like(flagged, np.nan)
    has_samples = samples > 0
    fractions[has_samples] = flagged[has_samples] * flagged.shape[1] / samples[has_samples, None]
    return fractions


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

    def interference(self, freqs_hz: NDArray[np.float64]) -> ChannelInterference:
        """Return the interference by channel.

        Parameters
        ----------
        freqs_hz : equally spaced frequencies of the channels, Hz, shape (channels,).
        """
        before, added = self.before.by_channel, self.after.by_channel - self.before.by_channel
        has_data = before < 1.0
        floor = float(added[has_data].min()) if has_data.any() else 0.0
        fractions = tuple(
            max(0.0, float(fraction) - floor) if is_present else None
            for fraction, is_present in zip(added, has_data, strict=True)
        )
        width_hz = float(freqs_hz[1] - freqs_hz[0]) if freqs_hz.size > 1 else 0.0
        return ChannelInterference(float(freqs_hz[0]), width_hz, fractions)

    def write(self, directory: Path, ms: MSInfo, dead: dict[int, str]) -> None:
        """Write `<tile>.json`, and as pictures `<tile>.png` and, by antenna, time and channel, `<tile>.waterfall.png`.

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
        with staged(directory / f"{ms.name}.waterfall.png") as path:
            self._draw_waterfall(ms, dead).savefig(path, format="png")

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

    def _draw_waterfall(self, ms: MSInfo, dead: dict[int, str]) -> Figure:
        """Draw the fraction after flagging by antenna and channel, and by time and channel."""
        figure = Figure(figsize=(12, 9), dpi=100, facecolor="white")
        above, below = figure.add_axes((0.07, 0.42, 0.84, 0.53)), figure.add_axes((0.07, 0.06, 0.84, 0.31))
        band_mhz = ms.freqs_hz[0] / 1e6, ms.freqs_hz[-1] / 1e6
        names, step = ms.antennas, max(1, ms.antennas.size // 24)
        picture = _draw_fractions(above, self.after.by_antenna_and_channel[names], band_mhz, names.size - 0.5, -0.5)
        red = [index for index, slot in enumerate(names) if slot in dead]
        black = [index for index in range(0, names.size, step) if all(2 * abs(index - near) > step for near in red)]
        shown = red + black
        above.set_yticks(shown, [ms.antenna_names[names[index]] for index in shown], fontsize=7)
        for label, index in zip(above.get_yticklabels(), shown, strict=True):
            label.set_color("#b3261e" if names[index] in dead else "black")
        above.set_ylabel("antenna, dead ones in red")
        duration_s = float(np.ptp(ms.times_mjd_s)) or 1.0
        _draw_fractions(below, self.after.by_time_and_channel, band_mhz, duration_s, 0.0)
        below.set_ylabel("s after the first integration")
        below.set_xlabel("MHz")
        bar = figure.add_axes((0.935, 0.06, 0.015, 0.89))
        figure.colorbar(picture, cax=bar, label="fraction flagged")
        figure.suptitle(f"{ms.name}: flagged by antenna, time and channel; grey: no data", y=0.99)
        return figure


def _draw_fractions(axes: Axes, values: Counts, band_mhz: tuple[float, float], bottom: float, top: float) -> Any:
    colours = colormaps["viridis"].with_extremes(bad="#bbbbbb")
    axes.tick_params(labelsize=8)
    return axes.imshow(values, aspect="auto", extent=(*band_mhz, bottom, top), vmin=0, vmax=1, cmap=colours,
                       interpolation="nearest")  # fmt: skip


def _plot_steps(axes: Axes, x: NDArray[Any], before: Counts, after: Counts) -> None:
    axes.fill_between(x, after, step="mid", color="#c8551b", alpha=0.5, label="after flagging")
    axes.step(x, before, where="mid", color="#1f5fa8", label="as converted")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("flagged")
    axes.margins(x=0)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count(flags: Mask, ant1: Slots, ant2: Slots, times: Rows, count: FlagCount) -> None:
    rows, channels, correlations = flags.shape
    for row in range(rows):
        slot1, slot2, time = ant1[row], ant2[row], times[row]
        if slot1 == slot2:
            continue
        of_slot1, of_slot2, of_time = count.flagged[slot1], count.flagged[slot2], count.time_flagged[time]
        for channel in range(channels):
            flagged = 0
            for correlation in range(correlations):
                flagged += flags[row, channel, correlation]
            if flagged:  # most channels have none
                of_slot1[channel] += flagged
                of_slot2[channel] += flagged
                of_time[channel] += flagged
        count.samples[slot1] += channels * correlations
        count.samples[slot2] += channels * correlations
        count.time_samples[time] += channels * correlations
