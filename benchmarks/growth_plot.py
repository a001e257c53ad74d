"""Plot the growth curves: a column for each dimension, core seconds above memory."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from growth_limits import EXPECTED, Curve
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
LINE_POINTS = 10.5  # minimum distance between labels
LABEL_SPACE = 0.42  # fraction of the axis for labels


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves into a .png or .svg; a thin line through the last point of a curve has the expected power."""
    dimensions = [dimension for dimension in EXPECTED if any(curve.dimension == dimension for curve in curves)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.7 * len(dimensions) + 0.6, 5.2), layout="constrained")
        panels = figure.subplots(2, len(dimensions), squeeze=False, sharey="row", height_ratios=(3, 2))
        for row, cost in zip(panels, (CORE_S, MEMORY), strict=True):
            for panel, dimension in zip(row, dimensions, strict=True):
                _panel(panel, [curve for curve in curves if (curve.cost, curve.dimension) == (cost, dimension)])
        panels[0, 0].set_yscale("log")
        panels[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0, 0].set_ylabel("core seconds")
        panels[1, 0].set_ylim(0)
        panels[1, 0].set_ylabel("peak memory, GiB")
        for panel, dimension in zip(panels[-1], dimensions, strict=True):
            panel.set_xlabel(TITLES[dimension])
        figure.suptitle(
            "Cost of a stage against one dimension, with the measured power; thin line: expected power",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        figure.draw_without_rendering()  # labels depend on the positions of the axes
        for row, cost in zip(panels, (CORE_S, MEMORY), strict=True):
            for panel, dimension in zip(row, dimensions, strict=True):
                _label(panel, [curve for curve in curves if (curve.cost, curve.dimension) == (cost, dimension)])
        figure.savefig(path, dpi=110)


def _plotted_values(curve: Curve) -> Sequence[float]:
    return [value / 1024 for value in curve.values] if curve.cost == MEMORY else curve.values


def _panel(panel: Axes, curves: Sequence[Curve]) -> None:
    """Plot the curves of one cost and dimension; memory has no expected power."""
    panel.set_xscale("log")
    for curve in curves:
        values = _plotted_values(curve)
        if curve.cost == CORE_S:
            expected = [values[-1] * (size / curve.sizes[-1]) ** curve.expected for size in curve.sizes]
            panel.plot(curve.sizes, expected, color=COLOURS[curve.stage], linewidth=0.6, alpha=0.6)
        panel.plot(curve.sizes, values, color=COLOURS[curve.stage], marker="o", markersize=3.5, linewidth=1.6)
    sizes = sorted({size for curve in curves for size in curve.sizes})
    spread = sizes[-1] / sizes[0]
    ticks = [size for size in sizes[:-1] if sizes[-1] / size > spread**0.12]
    panel.set_xticks([*ticks, sizes[-1]], [str(size) for size in (*ticks, sizes[-1])], fontsize=8)
    panel.set_xlim(sizes[0] * spread**-0.06, sizes[-1] * spread**LABEL_SPACE)
    panel.xaxis.set_minor_locator(NullLocator())


def _label(panel: Axes, curves: Sequence[Curve]) -> None:
    """Write the stage and the power of core seconds at the end of each curve, at least a line of text apart."""
    to_points = 72 / panel.figure.dpi
    lowest = -np.inf
    for curve in sorted(curves, key=lambda curve: curve.values[-1]):
        end = curve.sizes[-1], _plotted_values(curve)[-1]
        height = float(panel.transData.transform(end)[1]) * to_points
        label_height = max(height, lowest)
        lowest = label_height + LINE_POINTS
        power = f" {round(curve.power, 2) + 0:.2f}" if curve.cost == CORE_S else ""
        panel.annotate(
            f"{curve.stage}{power}", end, (5, label_height - height),
            textcoords="offset points", color=COLOURS[curve.stage], fontsize=8, va="center",
        )  # fmt: skip
