"""The picture of a whole run: each stage's seconds beside its peers', on a logarithmic axis."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from whole_figures import Row

OURS, THEIRS = "#1f5fa8", "#b9b4ab"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG; nothing when there is no row."""
    if not rows:
        return
    bars: list[tuple[str, float, str]] = []
    for row in rows:
        ours = (f"{row.stage}: {row.what}", row.seconds, OURS)
        if ours not in bars:
            bars.append(ours)
        if row.peer_s is not None:
            bars.append((str(row.peer), row.peer_s, THEIRS))
    figure = Figure(figsize=(9, 0.34 * len(bars) + 1.2), dpi=110, facecolor="white", layout="constrained")
    axes = figure.subplots()
    places = range(len(bars))
    axes.barh(places, [seconds for _, seconds, _ in bars], color=[color for _, _, color in bars], height=0.7)
    for place, (_, seconds, _) in zip(places, bars, strict=True):
        axes.annotate(f"{seconds:.1f} s", (seconds, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, [name for name, _, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("seconds at full scale; blue: this pipeline, grey: its peers in the same run")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    FigureCanvasAgg(figure).print_png(str(path))
