"""Charts of a night as SVG elements, which need nothing from outside and are styled by the page around them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 26
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_NEAR_END = 0.98  # of the axis, where a label would be cut


@dataclass(frozen=True)
class Point:
    """A mark: position in the units of the axes, class of its colour, and its text."""

    x: float
    y: float
    tone: str
    text: str


@dataclass(frozen=True)
class Axis:
    """An axis: its limits, and the positions and labels of its ticks."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]


def axis_of(values: Iterable[float], reference: float | None = None, *, floor: float | None = None) -> Axis:
    """Return a linear axis that holds all values, with round ticks.

    Parameters
    ----------
    values : at least one.
    reference : a further value to hold.
    floor : lower limit of the axis; None: below the least value.
    """
    held = [*values, *([] if reference is None else [reference])]
    low, high = (min(held) if floor is None else floor), max(held)
    span = (high - low) or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / 4))
    step = next(magnitude * factor for factor in _STEPS if magnitude * factor * 4 >= span)
    first = math.floor(low / step) if floor is None else low / step
    last = max(math.ceil(high / step), math.floor(first) + 1)
    numbers = range(math.ceil(first), last + 1)
    return Axis(first * step, last * step, [(number * step, f"{number * step:.4g}") for number in numbers])


def draw_points(title: str, points: Sequence[Point], x: Axis, y: Axis, reference: float | None = None) -> str:
    """Return a chart of points.

    Parameters
    ----------
    title : text alternative of the chart.
    points : marks within the axes; those outside are drawn at the edge.
    x, y : the axes.
    reference : value of a horizontal line.
    """
    marks = "".join(
        f'<circle class="{point.tone}" cx="{_place_x(point.x, x):.1f}" cy="{_place_y(point.y, y):.1f}" r="3">'
        f"<title>{escape(point.text)}</title></circle>"
        for point in points
    )
    line = "" if reference is None else _horizontal(reference, y, "reference")
    return _frame(title, x, y, line + marks)


def draw_steps(title: str, values: Sequence[float | None], x: Axis, y: Axis, first: float, width: float) -> str:
    """Return a chart of values side by side, as an area; a value that is not known is left out.

    Parameters
    ----------
    title : text alternative of the chart.
    values : the heights, each `width` wide.
    x, y : the axes.
    first, width : middle of the first value, and from one to the next, in the units of `x`.
    """
    base = _place_y(y.low, y)
    bars = []
    for index, value in enumerate(values):
        if value is not None:
            left = _place_x(first + (index - 0.5) * width, x)
            right = _place_x(first + (index + 0.5) * width, x)
            left, right = min(left, right), max(left, right)
            top = _place_y(value, y)
            bars.append(f"M{left:.1f} {base:.1f}V{top:.1f}H{right:.1f}V{base:.1f}Z")
    return _frame(title, x, y, f'<path class="area" d="{"".join(bars)}"/>')


def _frame(title: str, x: Axis, y: Axis, marks: str) -> str:
    lines = "".join(_horizontal(value, y, "grid") for value, _ in y.ticks)
    labels = "".join(
        f'<text x="{_LEFT - 6}" y="{_place_y(value, y) + 4:.1f}" text-anchor="end">{escape(label)}</text>'
        for value, label in y.ticks
    )
    below = "".join(
        f'<text x="{_place_x(value, x):.1f}" y="{HEIGHT - 8}" '
        f'text-anchor="{"end" if _part(value, x) > _NEAR_END else "middle"}">{escape(label)}</text>'
        for value, label in x.ticks
    )
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-size="12">{lines}{labels}{below}{marks}</svg>'
    )


def _horizontal(value: float, y: Axis, tone: str) -> str:
    position = _place_y(value, y)
    return f'<line class="{tone}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{position:.1f}" y2="{position:.1f}"/>'


def _place_x(value: float, axis: Axis) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * _part(value, axis)


def _place_y(value: float, axis: Axis) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * _part(value, axis)


def _part(value: float, axis: Axis) -> float:
    return min(1.0, max(0.0, (value - axis.low) / ((axis.high - axis.low) or 1.0)))
