"""A night on one strip: a number of each tile against time, drawn from limits that fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contimg.store import Tile

WIDTH, HEIGHT = 1000.0, 60.0


@dataclass(frozen=True)
class Dot:
    """A tile on a strip."""

    x: float
    y: float
    tile: Tile
    value: float


@dataclass(frozen=True)
class Strip:
    """One number over the night; `least` and `most` are the strip's lower and upper edge."""

    name: str
    dots: tuple[Dot, ...]
    least: float
    most: float


def strip(
    name: str, tiles: Sequence[Tile], number: Callable[[Tile], float | None], since_mjd: float, until_mjd: float,
    *, logarithmic: bool = False,
) -> Strip:  # fmt: skip
    """The strip of a number; tiles without it are left out."""
    known = [(tile, value) for tile in tiles if (value := number(tile)) is not None and math.isfinite(value)]
    if logarithmic:
        known = [(tile, value) for tile, value in known if value > 0]
    values = [value for _, value in known]
    least, most = (min(values), max(values)) if values else (0.0, 1.0)
    if not logarithmic:
        least = 0.0
    drawn: Callable[[float], float] = math.log if logarithmic else float
    low, high = (drawn(least / 1.1), drawn(most * 1.1)) if logarithmic else (0.0, max(most * 1.1, 1e-9))
    dots = tuple(
        Dot(
            WIDTH * (tile.mjd - since_mjd) / (until_mjd - since_mjd),
            HEIGHT * (1 - (drawn(value) - low) / (high - low)),
            tile,
            value,
        )
        for tile, value in known
    )
    return Strip(name, dots, least, most)
