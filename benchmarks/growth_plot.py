"""Small multiples of the growth curves: a column for each dimension, core seconds above memory."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from growth_verdict import EXPECTED, Curve
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

CORE_S, MEMORY = "core_s", "peak_mib"
TITLES = {"antennas": "antennas", "integrations": "integrations", "channels": "channels", "pixels": "pixels on a side"}
COLOURS = {"convert": "#0072b2", "flag": "#d55e00", "apply": "#009e73", "image": "#7b4ea3", "solve": "#a67c00"}
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
    "xtick.color": "#444444", "ytick.color": "#444444", "axes.grid.axis": "y", "axes.grid": True,
    "grid.color": "#e6e6e6", "axes.axisbelow": True,
}  # fmt: skip
LINE_POINTS = 10.5  # from one label to the next
ROOM = 0.42  # of the axis, for labels


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves into a .png or .svg; a thin line through a curve's last point has the expected power."""
    along = [one for one in EXPECTED if any(curve.dimension == one for curve in curves)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.7 * len(along) + 0.6, 5.2), layout="constrained")
        panels = figure.subplots(2, len(along), squeeze=False, sharey="row", height_ratios=(3, 2))
        for row, cost in zip(panels, (CORE_S, MEMORY), strict=True):
            for panel, dimension in zip(row, along, strict=True):
                _panel(panel, [one for one in curves if (one.cost, one.dimension) == (cost, dimension)])
        panels[0, 0].set_yscale("log")
        panels[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0, 0].set_ylabel("core seconds")
        panels[1, 0].set_ylim(0)
        panels[1, 0].set_ylabel("peak memory, GiB")
        for panel, dimension in zip(panels[-1], along, strict=True):
            panel.set_xlabel(TITLES[dimension])
        figure.suptitle(
            "What a stage costs as one dimension grows: the power measured, and as a thin line the power expected",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        figure.draw_without_rendering()  # labels need to know where the axes are
        for row, cost in zip(panels, (CORE_S, MEMORY), strict=True):
            for panel, dimension in zip(row, along, strict=True):
                _label(panel, [one for one in curves if (one.cost, one.dimension) == (cost, dimension)])
        figure.savefig(path, dpi=110)


def _shown(one: Curve) -> Sequence[float]:
    return [value / 1024 for value in one.values] if one.cost == MEMORY else one.values


def _panel(panel: Axes, curves: Sequence[Curve]) -> None:
    """One dimension's curves of one cost; memory does not follow the samples, nothing is expected of it."""
    panel.set_xscale("log")
    for one in curves:
        values = _shown(one)
        if one.cost == CORE_S:
            expected = [values[-1] * (size / one.sizes[-1]) ** one.expected for size in one.sizes]
            panel.plot(one.sizes, expected, color=COLOURS[one.stage], linewidth=0.6, alpha=0.6)
        panel.plot(one.sizes, values, color=COLOURS[one.stage], marker="o", markersize=3.5, linewidth=1.6)
    sizes = sorted({size for one in curves for size in one.sizes})
    spread = sizes[-1] / sizes[0]
    apart = [size for size in sizes[:-1] if sizes[-1] / size > spread**0.12]
    panel.set_xticks([*apart, sizes[-1]], [str(size) for size in (*apart, sizes[-1])], fontsize=8)
    panel.set_xlim(sizes[0] * spread**-0.06, sizes[-1] * spread**ROOM)
    panel.xaxis.set_minor_locator(NullLocator())


def _label(panel: Axes, curves: Sequence[Curve]) -> None:
    """Name each curve, and the power of its seconds, at its end, no two closer than a line of text."""
    to_points = 72 / panel.figure.dpi
    lowest = -np.inf
    for one in sorted(curves, key=lambda one: one.values[-1]):
        end = one.sizes[-1], _shown(one)[-1]
        height = float(panel.transData.transform(end)[1]) * to_points
        placed = max(height, lowest)
        lowest = placed + LINE_POINTS
        power = f" {round(one.power, 2) + 0:.2f}" if one.cost == CORE_S else ""
        panel.annotate(
            f"{one.stage}{power}", end, (5, placed - height),
            textcoords="offset points", color=COLOURS[one.stage], fontsize=8, va="center",
        )  # fmt: skip
