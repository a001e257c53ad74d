"""The map of observed tiles: right ascension against declination."""

import math
from dataclasses import dataclass

from flask import Blueprint, render_template

from contimg.instrument.dsa110 import LONGITUDE_DEG
from contimg.instrument.time import unix_to_mjd
from contimg.store import ImageFilter
from web.context import current_panel
from web.http.parameters import SkyView
from web.pages.layout import parse_query

sky = Blueprint("sky", __name__)
WIDTH, HEIGHT = 1000.0, 500.0
TILE_DEG = 2.7  # the primary beam at half power
ALL_SKY_DEG = (-40.0, 90.0)
MARGIN_DEG = 8.0


@dataclass(frozen=True)
class SkyMap:
    """The drawn range of declinations, degrees; right ascension increases to the left."""

    low_deg: float
    high_deg: float

    def x(self, ra_deg: float) -> float:
        """Return the position of a right ascension.

        Parameters
        ----------
        ra_deg : right ascension, degrees.

        Returns
        -------
        x from the left edge, 0 to `WIDTH`; right ascension 0 is at the right edge.
        """
        return WIDTH * (1 - (ra_deg % 360) / 360)

    def y(self, dec_deg: float) -> float:
        """Return the position of a declination.

        Parameters
        ----------
        dec_deg : declination, degrees.

        Returns
        -------
        y from the upper edge, 0 at `high_deg` and `HEIGHT` at `low_deg`.
        """
        return HEIGHT * (self.high_deg - dec_deg) / (self.high_deg - self.low_deg)

    def radii(self, dec_deg: float) -> tuple[float, float]:
        """Return the radii of a tile's ellipse: the primary beam, `TILE_DEG` across.

        Parameters
        ----------
        dec_deg : declination of its centre, degrees.

        Returns
        -------
        in right ascension, wider by 1 / cos(declination), at most by 10; in declination.
        """
        shrink = max(0.1, math.cos(math.radians(dec_deg)))
        return WIDTH / 360 * TILE_DEG / 2 / shrink, HEIGHT / (self.high_deg - self.low_deg) * TILE_DEG / 2

    def dec_ticks(self) -> list[int]:
        """Return the labelled declinations."""
        step = 5 if self.high_deg - self.low_deg < 40 else 20
        return list(range(math.ceil(self.low_deg / step) * step, math.floor(self.high_deg) + 1, step))


@sky.get("/sky")
def show() -> str:
    """Show the tiles of the last days."""
    query, store = parse_query(SkyView), current_panel().store
    now_mjd = unix_to_mjd(store.database.clock())
    tiles = store.products.tiles(ImageFilter(since_mjd=now_mjd - query.days, until_mjd=now_mjd + 1))
    decs = [tile.dec_deg for tile in tiles] or [37.0]
    observed_deg = max(-90.0, min(decs) - MARGIN_DEG), min(90.0, max(decs) + MARGIN_DEG)
    sky_map = SkyMap(*(observed_deg if query.view == "strip" else ALL_SKY_DEG))
    return render_template(
        "tiles/sky.html",
        query=query,
        map=sky_map,
        tiles=tiles,
        lst_deg=_sidereal_time_deg(now_mjd),
        days={1: "24 h", 7: "7 d", 30: "30 d", 365: "1 y"},
    )


def _sidereal_time_deg(mjd: float) -> float:
    """Return the right ascension of the meridian: mean sidereal time (IAU 1982) with UTC for UT1, right to 1 s."""
    return (280.46061837 + 360.98564736629 * (mjd - 51544.5) + LONGITUDE_DEG) % 360
