"""Plots of a caltable set: amplitude and phase of every antenna as small multiples, and waterfalls.

All panels of a plot are drawn into one pair of axes: a hundred axes would take matplotlib ten seconds.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.tile.calibrate.assessment import read_gains
from contimg.tile.calibrate.solve.edits import fit_delay_turns

COLUMNS = 10
COLOURS = ("#1f5fa8", "#c8551b")  # X and Y
NAMES = ("amplitude.png", "phase.png", "waterfall.png")
_COMPRESSION = 1  # of PNG: files a third larger than by default, in a third of the time
_WIDTH, _HEIGHT = 0.92, 0.8  # of a panel's cell
Floats = NDArray[np.float64]


def write_plots(caltable_set: CaltableSet, names: Sequence[str]) -> None:
    """Write the plots NAMES of the set's gains, the product of those of all its caltables, into its directory.

    Parameters
    ----------
    caltable_set : the set, its caltables in its directory.
    names : of the antennas shown, shape (antennas,).
    """
    freqs_hz, gains = read_gains(caltable_set, names)
    steady, delays_ns = remove_delays(gains, freqs_hz)
    captions = [f"{name}  {mean:+.0f} ns" for name, mean in zip(names, delays_ns.mean(axis=1), strict=True)]
    amplitude, phase = np.abs(gains), np.rad2deg(np.angle(steady))
    top = 1.6 * float(np.nanmedian(amplitude))
    title = f"{caltable_set.name} on {caltable_set.calibrator}"
    band = f"{freqs_hz.min() / 1e6:.0f} to {freqs_hz.max() / 1e6:.0f} MHz, X blue, Y orange"
    figures = (
        _draw_multiples(f"{title}: amplitude, 0 to {top:.3g}; {band}", names, amplitude, (0.0, top)),
        _draw_multiples(
            f"{title}: phase less the delay, -180 to 180 deg; {band}", captions, phase, (-180.0, 180.0)
        ),
        _draw_waterfalls(title, names, amplitude / top, phase, freqs_hz),
    )  # fmt: skip
    for name, figure in zip(NAMES, figures, strict=True):
        figure.savefig(caltable_set.directory / name, pil_kwargs={"compress_level": _COMPRESSION})


def remove_delays(gains: NDArray[np.complex128], freqs_hz: Floats) -> tuple[NDArray[np.complex128], Floats]:
    """Take each receptor's delay and mean phase out of gains.

    Parameters
    ----------
    gains : shape (antennas, channels, receptors), NaN without a solution.
    freqs_hz : shape (channels,).

    Returns
    -------
    The gains, and the delays, shape (antennas, receptors), ns.
    """
    steady, delays_ns = np.array(gains), np.zeros((gains.shape[0], gains.shape[2]))
    channels = np.arange(gains.shape[1])
    spacing_hz = float(np.median(np.diff(freqs_hz))) if freqs_hz.size > 1 else 1.0
    for antenna, receptor in np.ndindex(delays_ns.shape):
        line = gains[antenna, :, receptor]
        good = np.isfinite(line)
        if good.sum() < 2:
            continue
        turns = fit_delay_turns(line.astype(np.complex64), good)
        line = line * np.exp(-2j * np.pi * turns * channels)
        steady[antenna, :, receptor] = line * np.exp(-1j * np.angle(line[good].mean()))
        delays_ns[antenna, receptor] = 1e9 * turns / spacing_hz
    return steady, delays_ns


def _draw_multiples(title: str, captions: Sequence[str], values: Floats, limits: tuple[float, float]) -> Figure:
    """Draw one small panel per antenna: values (antennas, channels, receptors) within `limits` from bottom to top."""
    rows = max(1, -(-len(captions) // COLUMNS))
    figure = Figure(figsize=(14, 1.0 + 0.85 * rows), dpi=100, facecolor="white")
    axes = figure.add_axes((0.01, 0.01, 0.98, 1 - 0.6 / (1.0 + 0.85 * rows)))
    left, bottom = np.arange(len(captions)) % COLUMNS, -1.0 - np.arange(len(captions)) // COLUMNS
    across = np.linspace(0.04, _WIDTH, values.shape[1])
    shown = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1) * _HEIGHT
    for receptor in range(values.shape[2]):
        horizontal = (left[:, None] + across[None]).ravel()
        vertical = (bottom[:, None] + shown[:, :, receptor]).ravel()
        axes.plot(horizontal, vertical, ",", color=COLOURS[receptor % len(COLOURS)])
    corners = np.stack([left + 0.04, bottom], axis=1)
    frames = corners[:, None] + np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * (_WIDTH - 0.04, _HEIGHT)
    has_some = np.isfinite(values).any(axis=(1, 2))
    colours = np.where(has_some, "#b8b8b8", "#c0392b").tolist()
    axes.add_collection(LineCollection(list(frames), colors=colours, linewidths=0.7), autolim=False)
    for (x, y), caption in zip(corners, captions, strict=True):
        axes.text(x + 0.02, y + _HEIGHT + 0.02, caption, fontsize=7, va="bottom", clip_on=False)
    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(-rows - 0.05, 0.1)
    axes.set_axis_off()
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _draw_waterfalls(title: str, names: Sequence[str], amplitude: Floats, phase: Floats, freqs_hz: Floats) -> Figure:
    figure = Figure(figsize=(14, 9), dpi=100, facecolor="white")
    receptors = amplitude.shape[2]
    extent = (freqs_hz.min() / 1e6, freqs_hz.max() / 1e6, len(names) - 0.5, -0.5)
    quantities = (
        (amplitude, "amplitude", "viridis", 0.0, 1.0),
        (phase, "phase less the delay, -60 to 60 deg", "RdBu", -60.0, 60.0),
    )
    for row, (values, label, colours, low, high) in enumerate(quantities):
        for receptor in range(receptors):
            axes = figure.add_subplot(2, receptors, 1 + receptor + row * receptors)
            axes.imshow(
                values[:, :, receptor], aspect="auto", extent=extent, cmap=colours, vmin=low, vmax=high,
                interpolation="nearest",
            )  # fmt: skip
            axes.set_xlabel("MHz", fontsize=8)
            axes.tick_params(labelsize=7)
            axes.set_title(f"{'XY'[receptor % 2]}: {label}", fontsize=9)
            axes.set_ylabel(f"antenna, {names[0]} to {names[-1]}", fontsize=8)
    figure.suptitle(f"{title}: one row an antenna, white without a solution", fontsize=10, x=0.01, ha="left")
    return figure
