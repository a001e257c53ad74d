"""Strips of the images wall: one number of each tile of a night against time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contimg.store import ObservedTile
from contimg.units import three_digits


@dataclass(frozen=True)
class Dot:
    """A tile on a strip: position in percent from the left and the top, and the value with its unit."""

    x: float
    y: float
    tile: ObservedTile
    value: str


@dataclass(frozen=True)
class Strip:
    """A number of each tile against time: its range with the unit, and the height of a reference line in percent."""

    name: str
    dots: tuple[Dot, ...]
    range: str
    reference_y: float | None = None


@dataclass(frozen=True)
class Quantity:
    """A number of a tile that has a strip.

    Attributes
    ----------
    name, unit : as shown; the unit is empty for a ratio.
    value : reads the number of a tile; None where it is not known, which leaves the tile out.
    logarithmic : scale of the values; a linear one begins at zero.
    reference : value of a horizontal line.
    minimum_top : the least value at the top of a linear axis, so that small values are not drawn large.
    """

    name: str
    unit: str
    value: Callable[[ObservedTile], float | None]
    logarithmic: bool = False
    reference: float | None = None
    minimum_top: float = 1e-9


def _flagged_percent(tile: ObservedTile) -> float | None:
    return None if tile.flagged_fraction is None else 100 * tile.flagged_fraction


QUANTITIES = (
    Quantity("noise", "mJy/beam", lambda tile: 1e3 * tile.rms_jy, logarithmic=True),
    Quantity("noise over thermal", "", lambda tile: tile.noise_ratio, logarithmic=True, reference=1.0),
    Quantity("flux over catalogue", "", lambda tile: tile.flux_ratio, reference=1.0),
    Quantity("flagged", "%", _flagged_percent, minimum_top=20.0),
    Quantity("missing subbands", "of 16", lambda tile: len(tile.missing_subbands) or None, minimum_top=16.0),
)


def draw_strips(tiles: Sequence[ObservedTile], since_mjd: float, until_mjd: float) -> tuple[Strip, ...]:
    """Draw every quantity of tiles against time.

    Parameters
    ----------
    tiles : those of a night.
    since_mjd, until_mjd : limits of the time axis, days, UTC.
    """
    return tuple(draw_strip(quantity, tiles, since_mjd, until_mjd) for quantity in QUANTITIES)


def draw_strip(quantity: Quantity, tiles: Sequence[ObservedTile], since_mjd: float, until_mjd: float) -> Strip:
    """Draw a quantity of tiles against time; tiles without it are left out.

    Parameters
    ----------
    quantity : the number.
    tiles : those of a night.
    since_mjd, until_mjd : limits of the time axis, days, UTC.
    """
    least = 1e-30 if quantity.logarithmic else -math.inf
    values = ((tile, quantity.value(tile)) for tile in tiles)
    known = [(tile, value) for tile, value in values if value is not None and least <= value < math.inf]
    minimum = min((value for _, value in known), default=1.0)
    maximum = max((value for _, value in known), default=1.0)
    if quantity.reference is not None:
        minimum, maximum = min(minimum, quantity.reference), max(maximum, quantity.reference)
    scale: Callable[[float], float] = math.log if quantity.logarithmic else float
    top = max(1.1 * maximum, 0.0 if quantity.logarithmic else quantity.minimum_top)
    low, high = scale(minimum / 1.1) if quantity.logarithmic else 0.0, scale(top)

    def y(value: float) -> float:
        return 100 * (1 - (scale(value) - low) / (high - low))

    x_scale = 100 / (until_mjd - since_mjd)
    dots = tuple(
        Dot((tile.mjd - since_mjd) * x_scale, y(value), tile, _text(value, quantity.unit)) for tile, value in known
    )
    reference_y = None if quantity.reference is None else y(quantity.reference)
    return Strip(quantity.name, dots, _range(known, quantity.unit), reference_y)


def _range(known: Sequence[tuple[ObservedTile, float]], unit: str) -> str:
    values = [value for _, value in known]
    if not values:
        return "no value"
    low, high = (_text(value, "") for value in (min(values), max(values)))
    return _text(max(values), unit) if low == high else f"{low} to {high} {unit}".rstrip()


def _text(value: float, unit: str) -> str:
    number = f"{value:d}" if isinstance(value, int) else three_digits(value)
    return f"{number} {unit}".rstrip()
