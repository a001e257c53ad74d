"""Small multiples of the growth curves: a column for each dimension, core seconds above memory, on logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from growth_verdict import EXPECTED, Curve
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

ROWS = {"core_s": "core seconds", "peak_mib": "peak memory, MiB"}
TITLES = {
    "antennas": "antennas",
    "integrations": "integrations",
    "channels": "channels",
    "pixels": "image, pixels a side",
}
COLOURS = {"convert": "#0072b2", "flag": "#d55e00", "apply": "#009e73", "image": "#7b4ea3", "solve": "#b8860b"}
STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
    "xtick.color": "#444444", "ytick.color": "#444444", "svg.fonttype": "none",
}  # fmt: skip


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves into a .png or .svg; a thin line through each curve's last point has the expected power."""
    along = [one for one in EXPECTED if any(curve.dimension == one for curve in curves)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(along) + 0.6, 5.6), layout="constrained")
        panels = figure.subplots(len(ROWS), len(along), squeeze=False, sharey="row")
        for row, (cost, label) in zip(panels, ROWS.items(), strict=True):
            row[0].set_ylabel(label)
            for panel, dimension in zip(row, along, strict=True):
                _panel(panel, [one for one in curves if (one.cost, one.dimension) == (cost, dimension)])
        for panel, dimension in zip(panels[-1], along, strict=True):
            panel.set_xlabel(TITLES[dimension])
        figure.suptitle(
            "Cost of a stage as one dimension grows. Numbers: the power measured; thin lines: the power expected",
            fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        figure.savefig(path, dpi=110)


def _panel(panel: Axes, curves: Sequence[Curve]) -> None:
    """One dimension's curves of one cost."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    for one in curves:
        colour, (last, most) = COLOURS[one.stage], (one.sizes[-1], one.values[-1])
        if one.cost != "peak_mib":  # memory does not follow the samples
            expected = [most * (size / last) ** one.expected for size in one.sizes]
            panel.plot(one.sizes, expected, color=colour, linewidth=0.6, alpha=0.6)
        panel.plot(one.sizes, one.values, color=colour, marker="o", markersize=3.5, linewidth=1.6)
    low, high = panel.get_ylim()
    _label(panel, curves, high / low)
    sizes = sorted({size for one in curves for size in one.sizes})
    panel.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
    panel.set_xlim(sizes[0] * 0.88, sizes[-1] * (sizes[-1] / sizes[0]) ** 0.42)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    panel.set_axisbelow(True)


def _label(panel: Axes, curves: Sequence[Curve], span: float) -> None:
    """Name each curve and its power at its end, no two closer than a line of text."""
    step, lowest = span**0.075, 0.0
    for one in sorted(curves, key=lambda one: one.values[-1]):
        height = max(one.values[-1], lowest)
        lowest = height * step
        panel.text(
            one.sizes[-1] * (one.sizes[-1] / one.sizes[0]) ** 0.04, height, f"{one.stage} {one.power:.2f}",
            color=COLOURS[one.stage], fontsize=8, va="center",
        )  # fmt: skip
