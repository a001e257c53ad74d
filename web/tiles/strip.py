"""A night on one strip: a number of each tile against time, drawn from limits that fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contimg.store import ObservedTile

WIDTH, HEIGHT = 1000.0, 60.0


@dataclass(frozen=True)
class Dot:
    """A tile on a strip."""

    x: float
    y: float
    tile: ObservedTile
    value: float


@dataclass(frozen=True)
class Strip:
    """One number over the night; `least` and `most` are those of its dots, `mark` is where a line is drawn."""

    name: str
    dots: tuple[Dot, ...]
    least: float
    most: float
    mark: float | None = None


def strip(
    name: str,
    tiles: Sequence[ObservedTile],
    number: Callable[[ObservedTile], float | None],
    since_mjd: float,
    until_mjd: float,
    *,
    logarithmic: bool = False,
    mark: float | None = None,
    height: float = 1e-9,
) -> Strip:
    """The strip of a number; tiles without it are left out.

    `mark`: a value that stands on the strip as a line. `height`: the least that a strip from zero reaches up to, so
    that nothing is made much of.
    """
    known = [(tile, value) for tile in tiles if (value := number(tile)) is not None and math.isfinite(value)]
    if logarithmic:
        known = [(tile, value) for tile, value in known if value > 0]
    values = [value for _, value in known]
    least, most = (min(values), max(values)) if values else (0.0, 1.0)
    top = max(most, mark or 0.0)
    drawn: Callable[[float], float] = math.log if logarithmic else float
    low, high = (drawn(least / 1.1), drawn(top * 1.1)) if logarithmic else (0.0, max(top * 1.1, height))
    dots = tuple(
        Dot(
            WIDTH * (tile.mjd - since_mjd) / (until_mjd - since_mjd),
            HEIGHT * (1 - (drawn(value) - low) / (high - low)),
            tile,
            value,
        )
        for tile, value in known
    )
    marked = None if mark is None else HEIGHT * (1 - (drawn(mark) - low) / (high - low))
    return Strip(name, dots, least, most, marked)
