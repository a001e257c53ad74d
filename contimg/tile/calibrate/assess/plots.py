"""Pictures of a set of tables: amplitude and phase of every antenna as small multiples, and waterfalls.

All panels of a picture are drawn into one pair of axes: a hundred axes would take matplotlib ten seconds.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contimg.tile.calibrate.solve.gap_filling import delay_turns

COLUMNS = 10
COLOURS = ("#1f5fa8", "#c8551b")  # X and Y
NAMES = ("amplitude.png", "phase.png", "waterfall.png")
_WIDTH, _HEIGHT = 0.92, 0.8  # of a panel's cell


def write_plots(
    directory: Path, title: str, names: Sequence[str], gains: NDArray[np.complex128], freqs_hz: NDArray[np.float64]
) -> None:
    """Write the pictures NAMES into a set's directory.

    Parameters
    ----------
    names : of the antennas shown, shape (antennas,).
    gains : shape (antennas, channels, receptors), NaN without a solution.
    """
    still, delays_ns = without_delays(gains, freqs_hz)
    captions = [f"{name}  {mean:+.0f} ns" for name, mean in zip(names, delays_ns.mean(axis=1), strict=True)]
    amplitude, phase = np.abs(gains), np.rad2deg(np.angle(still))
    top = 1.6 * float(np.nanmedian(amplitude))
    band = f"{freqs_hz.min() / 1e6:.0f} to {freqs_hz.max() / 1e6:.0f} MHz, X blue, Y orange"
    _save(multiples(f"{title}: amplitude, 0 to {top:.3g}; {band}", names, amplitude, (0.0, top)), directory / NAMES[0])
    said = f"{title}: phase less the delay, -180 to 180 deg; {band}"
    _save(multiples(said, captions, phase, (-180.0, 180.0)), directory / NAMES[1])
    _save(_waterfall(title, names, amplitude / top, phase, freqs_hz), directory / NAMES[2])


def without_delays(
    gains: NDArray[np.complex128], freqs_hz: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Gains with each receptor's delay and mean phase taken out, and the delays, shape (antennas, receptors), ns."""
    still, delays = np.array(gains), np.zeros((gains.shape[0], gains.shape[2]))
    channels = np.arange(gains.shape[1])
    spacing_hz = float(np.median(np.diff(freqs_hz))) if freqs_hz.size > 1 else 1.0
    for antenna, receptor in np.ndindex(delays.shape):
        line = gains[antenna, :, receptor]
        good = np.isfinite(line)
        if good.sum() < 2:
            continue
        turns = delay_turns(line.astype(np.complex64), good)
        line = line * np.exp(-2j * np.pi * turns * channels)
        still[antenna, :, receptor] = line * np.exp(-1j * np.angle(line[good].mean()))
        delays[antenna, receptor] = 1e9 * turns / spacing_hz
    return still, delays


def multiples(title: str, captions: Sequence[str], values: NDArray[np.float64], limits: tuple[float, float]) -> Figure:
    """One small panel per antenna; values (antennas, channels, receptors) within `limits` from bottom to top."""
    rows = max(1, -(-len(captions) // COLUMNS))
    figure = Figure(figsize=(14, 1.0 + 0.85 * rows), dpi=100, facecolor="white")
    axes = figure.add_axes((0.01, 0.01, 0.98, 1 - 0.6 / (1.0 + 0.85 * rows)))
    left, bottom = np.arange(len(captions)) % COLUMNS, -1.0 - np.arange(len(captions)) // COLUMNS
    across = np.linspace(0.04, _WIDTH, values.shape[1])
    shown = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1) * _HEIGHT
    for receptor in range(values.shape[2]):
        x = (left[:, None] + across[None]).ravel()
        y = (bottom[:, None] + shown[:, :, receptor]).ravel()
        axes.plot(x, y, ",", color=COLOURS[receptor % len(COLOURS)])
    for antenna, caption in enumerate(captions):
        corner = left[antenna] + 0.04, bottom[antenna]
        frame = corner + np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) * (_WIDTH - 0.04, _HEIGHT)
        missing = not np.isfinite(values[antenna]).any()
        axes.plot(*frame.T, color="#c0392b" if missing else "#b8b8b8", linewidth=0.7)
        axes.text(corner[0] + 0.02, corner[1] + _HEIGHT + 0.02, caption, fontsize=7, va="bottom")
    axes.set_xlim(0, COLUMNS)
    axes.set_ylim(-rows - 0.05, 0.1)
    axes.set_axis_off()
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure


def _waterfall(
    title: str,
    names: Sequence[str],
    amplitude: NDArray[np.float64],
    phase: NDArray[np.float64],
    freqs_hz: NDArray[np.float64],
) -> Figure:
    figure = Figure(figsize=(14, 9), dpi=100, facecolor="white")
    for receptor in range(amplitude.shape[2]):
        letter = "XY"[receptor % 2]
        for row, (values, what, scale) in enumerate(
            (
                (amplitude, "amplitude", ("viridis", 0.0, 1.0)),
                (phase, "phase less the delay, -60 to 60 deg", ("RdBu", -60.0, 60.0)),
            )
        ):
            axes = figure.add_subplot(2, amplitude.shape[2], 1 + receptor + row * amplitude.shape[2])
            _image(axes, values[:, :, receptor], freqs_hz, scale)
            axes.set_title(f"{letter}: {what}", fontsize=9)
            axes.set_ylabel(f"antenna, {names[0]} to {names[-1]}", fontsize=8)
    figure.suptitle(f"{title}: one row an antenna, white without a solution", fontsize=10, x=0.01, ha="left")
    return figure


def _image(
    axes: Axes, values: NDArray[np.float64], freqs_hz: NDArray[np.float64], scale: tuple[str, float, float]
) -> None:
    extent = (freqs_hz.min() / 1e6, freqs_hz.max() / 1e6, len(values) - 0.5, -0.5)
    colours, low, high = scale
    axes.imshow(values, aspect="auto", extent=extent, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_xlabel("MHz", fontsize=8)
    axes.tick_params(labelsize=7)


def _save(figure: Figure, path: Path) -> None:
    with path.open("wb") as file:
        FigureCanvasAgg(figure).print_png(file)
