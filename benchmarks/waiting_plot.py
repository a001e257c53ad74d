"""The picture of what a group costs while others wait: a line for each step, and the slope that nobody wants to see."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7b4ea3")


def draw(found: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG of rows that have `waiting` and each step's milliseconds of a core."""
    figure = Figure(figsize=(6.4, 3.6), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    waiting = [row["waiting"] for row in found]
    steps = [name for name in found[0] if name != "waiting"]
    for name, colour in zip(steps, COLOURS, strict=True):
        axes.plot(waiting, [row[name] for row in found], "o-", color=colour, label=name, markersize=4)
    least = min(row[name] for row in found for name in steps)
    axes.plot(waiting[:2], [least, least * waiting[1] / waiting[0]], ":", color="#999999", label="in proportion")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1, 1000)
    axes.set_xlabel("groups that wait in the store")
    axes.set_ylabel("ms of a core for one more")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(path))
