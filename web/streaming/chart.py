"""Small drawings as numbers; the template turns them into SVG."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """A piece of a bar: its name, its value, and where it lies on a bar of 0 to 100."""

    name: str
    value: float
    start: float
    width: float


def segments(parts: Sequence[tuple[str, float]], whole: float) -> tuple[Segment, ...]:
    """Parts laid end to end on a bar of length `whole`; the bar grows if they are longer."""
    scale = 100.0 / max(whole, sum(value for _, value in parts), 1e-9)
    placed, start = [], 0.0
    for name, value in parts:
        placed.append(Segment(name, value, start, value * scale))
        start += value * scale
    return tuple(placed)
