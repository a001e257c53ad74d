"""Plot the seconds of each stage and of its peers on a logarithmic axis."""

from collections.abc import Sequence
from pathlib import Path

from all_figures import Row
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PIPELINE_COLOUR, PEER_COLOUR = "#1f5fa8", "#b9b4ab"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG; write nothing when there are no rows."""
    if not rows:
        return
    bars: list[tuple[str, float, str]] = []
    for row in rows:
        bar = (f"{row.stage}: {row.what}", row.seconds, PIPELINE_COLOUR)
        if bar not in bars:
            bars.append(bar)
        if row.peer_s is not None:
            bars.append((str(row.peer), row.peer_s, PEER_COLOUR))
    figure = Figure(figsize=(9, 0.34 * len(bars) + 1.2), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    positions = range(len(bars))
    axes.barh(positions, [seconds for _, seconds, _ in bars], color=[color for _, _, color in bars], height=0.7)
    for position, (_, seconds, _) in zip(positions, bars, strict=True):
        axes.annotate(
            f"{seconds:.1f} s", (seconds, position), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(positions, [name for name, _, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("seconds at full scale; blue: this pipeline, grey: its peers in the same run")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(path))
