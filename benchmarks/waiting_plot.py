"""Plot the cost of a group against the number of waiting groups: a line per step, and proportional growth dotted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7b4ea3")


def draw(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG of rows with `waiting` and the core milliseconds of each step."""
    figure = Figure(figsize=(6.4, 3.6), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    waiting = [row["waiting"] for row in rows]
    steps = [name for name in rows[0] if name != "waiting"]
    for name, colour in zip(steps, COLOURS, strict=True):
        axes.plot(waiting, [row[name] for row in rows], "o-", color=colour, label=name, markersize=4)
    minimum_ms = min(row[name] for row in rows for name in steps)
    axes.plot(
        waiting[:2], [minimum_ms, minimum_ms * waiting[1] / waiting[0]], ":", color="#999999", label="proportional"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1, 1000)
    axes.set_xlabel("groups waiting in the store")
    axes.set_ylabel("core ms per additional group")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(path))
