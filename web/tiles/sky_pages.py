"""Where the tiles of a night fell: a strip of right ascension against declination."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request

from contimg.instrument.dsa110 import LONGITUDE_DEG
from contimg.instrument.time import unix_to_mjd
from contimg.store import ObservedTile
from web.context import current_panel
from web.http.parameters import SkyView

sky = Blueprint("sky", __name__)
WIDTH, HEIGHT = 1000.0, 500.0
TILE_DEG = 2.7  # the primary beam at half power


@dataclass(frozen=True)
class Spot:
    """A tile on the sky, an ellipse of the primary beam's width."""

    x: float
    y: float
    rx: float
    ry: float
    tile: ObservedTile


@dataclass(frozen=True)
class Frame:
    """The stretch of sky that is drawn: right ascension grows to the left; declinations in degrees."""

    low_deg: float
    high_deg: float

    def x(self, ra_deg: float) -> float:
        """Where a right ascension lies."""
        return WIDTH * (1 - (ra_deg % 360) / 360)

    def y(self, dec_deg: float) -> float:
        """Where a declination lies."""
        return HEIGHT * (self.high_deg - dec_deg) / (self.high_deg - self.low_deg)

    def spot(self, tile: ObservedTile) -> Spot:
        """A tile's place and size."""
        shrink = max(0.1, math.cos(math.radians(tile.dec_deg)))
        return Spot(
            self.x(tile.ra_deg), self.y(tile.dec_deg), WIDTH / 360 * TILE_DEG / 2 / shrink,
            HEIGHT / (self.high_deg - self.low_deg) * TILE_DEG / 2, tile,
        )  # fmt: skip


@sky.get("/sky")
def show() -> str:
    """The tiles of the last hours or days."""
    query = SkyView.model_validate({key: value for key, value in request.args.items() if value})
    now_mjd = unix_to_mjd(current_panel().store.database.clock())
    tiles = current_panel().store.products.tiles(now_mjd - query.days, now_mjd + 1)
    frame = _frame(tiles) if query.view == "strip" else Frame(-40.0, 90.0)
    return render_template(
        "tiles/sky.html",
        query=query,
        frame=frame,
        spots=[frame.spot(one) for one in tiles],
        hours=range(0, 24, 2),
        decs=_marks(frame),
        lst_deg=_sidereal_deg(now_mjd),
        days=(1, 7, 30, 365),
    )


def _frame(tiles: Sequence[ObservedTile]) -> Frame:
    """The declinations that were observed, with panel around."""
    decs = [one.dec_deg for one in tiles] or [37.0]
    return Frame(max(-90.0, min(decs) - 8), min(90.0, max(decs) + 8))


def _marks(frame: Frame) -> list[int]:
    step = 5 if frame.high_deg - frame.low_deg < 40 else 20
    return list(range(math.ceil(frame.low_deg / step) * step, math.floor(frame.high_deg) + 1, step))


def _sidereal_deg(mjd: float) -> float:
    """The meridian's right ascension now, mean sidereal time with UTC for UT1: right to a second."""
    return (280.46061837 + 360.98564736629 * (mjd - 51544.5) + LONGITUDE_DEG) % 360
