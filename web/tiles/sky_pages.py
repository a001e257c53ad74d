"""The sky: observed tiles in right ascension and declination and in time, with the area covered and the gaps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from flask import render_template

from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.instrument.coverage import RaRange, covered_area_deg2, uncovered_ra
from contimg.instrument.dsa110 import LONGITUDE_DEG
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.quality.grades import GRADES
from contimg.store import ImageFilter, ObservedTile
from web.context import current_panel
from web.pages.layout import parse_query
from web.tiles.nights import NightList, Tick, utc_ticks, whole_hours
from web.tiles.sky_survey import MAX_TILES, TILE_DAYS, TILE_DEG, SkyView, describe_survey, find_span, sky

ALL_SKY_DEG = (-40.0, 90.0)
MARGIN_DEG = 8.0
LONGEST_GAPS = 12
SPANS = {1: "24 h", 7: "7 d", 30: "30 d", 365: "1 y"}


@dataclass(frozen=True)
class SkyMap:
    """The drawn range of declinations, degrees; right ascension increases to the left, 0h is the right edge."""

    low_deg: float
    high_deg: float

    def x(self, ra_deg: float) -> float:
        """Return the position of a right ascension, percent from the left edge.

        Parameters
        ----------
        ra_deg : right ascension, degrees.
        """
        return 100 * (1 - (ra_deg % 360) / 360)

    def y(self, dec_deg: float) -> float:
        """Return the position of a declination, percent from the upper edge.

        Parameters
        ----------
        dec_deg : declination, degrees.
        """
        return 100 * (self.high_deg - dec_deg) / (self.high_deg - self.low_deg)

    def radii(self, dec_deg: float) -> tuple[float, float]:
        """Return the radii of a tile's ellipse: the primary beam, `TILE_DEG` across.

        Parameters
        ----------
        dec_deg : declination of its centre, degrees.

        Returns
        -------
        in right ascension, wider by 1 / cos(declination), at most by 10; in declination; percent of the map.
        """
        shrink = max(0.1, math.cos(math.radians(dec_deg)))
        return 50 * TILE_DEG / 360 / shrink, 50 * TILE_DEG / (self.high_deg - self.low_deg)

    def x_positions(self, ra_deg: float) -> tuple[float, ...]:
        """Return the positions of a tile, percent: two for one that extends across 0h.

        Parameters
        ----------
        ra_deg : right ascension of its centre, degrees.
        """
        x, margin = self.x(ra_deg), 50 * TILE_DEG / 360 * 10
        return (x, *(() if margin <= x <= 100 - margin else (x - 100 if x > 50 else x + 100,)))

    def ra_ticks(self) -> list[Tick]:
        """Return the labelled right ascensions, every two hours."""
        return [Tick(100 * (1 - hour / 24), f"{hour}h") for hour in range(0, 25, 2)]

    def dec_ticks(self) -> list[Tick]:
        """Return the labelled declinations."""
        step = 5 if self.high_deg - self.low_deg < 40 else 20
        decs = range(math.ceil(self.low_deg / step) * step, math.floor(self.high_deg) + 1, step)
        return [Tick(self.y(dec), f"{dec:+d}°".replace("-", "−") if dec else "0°") for dec in decs]


@dataclass(frozen=True)
class TimeGap:
    """A time without a tile between two tiles: its limits, MJD days, and the number of tiles that fit into it."""

    begin_mjd: float
    end_mjd: float
    missing_tiles: int

    @property
    def duration_s(self) -> float:
        """Its length, s."""
        return (self.end_mjd - self.begin_mjd) * DAY_S


@dataclass(frozen=True)
class DeclinationStrip:
    """Tiles of one declination: its mean, their number, and the right ascensions that they leave out."""

    dec_deg: float
    tiles: int
    gaps: tuple[RaRange, ...]

    @property
    def covered_fraction(self) -> float:
        """Covered part of the circle of this declination."""
        return 1 - sum(gap.width_deg for gap in self.gaps) / 360


@sky.get("/sky")
def show() -> str:
    """Show the tiles of a night, or of the days that end with the newest tile."""
    query, store = parse_query(SkyView), current_panel().store
    nights = NightList.read(store, query.night)
    span = find_span(query)
    tiles = store.products.tiles(ImageFilter(since_mjd=span[0], until_mjd=span[1]), MAX_TILES + 1)
    is_cut, tiles = len(tiles) > MAX_TILES, tiles[-MAX_TILES:]
    decs = [tile.dec_deg for tile in tiles] or [37.0]
    observed_deg = max(-90.0, min(decs) - MARGIN_DEG), min(90.0, max(decs) + MARGIN_DEG)
    gaps = find_time_gaps([tile.mjd for tile in tiles])
    limits = span
    if tiles and span[1] - span[0] <= 1.01:
        limits = whole_hours([tiles[0].mjd - TILE_DAYS / 2, tiles[-1].mjd + TILE_DAYS / 2])
    return render_template(
        "tiles/sky.html",
        query=query,
        nights=nights,
        tile_deg=TILE_DEG,
        map=SkyMap(*(observed_deg if query.view == "strip" else ALL_SKY_DEG)),
        tiles=tiles,
        counts={grade: sum(tile.verdict == grade for tile in tiles) for grade in GRADES},
        is_cut=is_cut,
        area_deg2=covered_area_deg2(_centres(tiles), TILE_DEG / 2),
        strips=find_strips(tiles),
        gaps=gaps,
        longest=sorted(sorted(gaps, key=lambda gap: -gap.duration_s)[:LONGEST_GAPS], key=lambda gap: gap.begin_mjd),
        span=span,
        limits=limits,
        ticks=utc_ticks(*limits),
        tile_percent=100 * TILE_DAYS / (limits[1] - limits[0]),
        lst_deg=_sidereal_time_deg(unix_to_mjd(store.database.clock())),
        days=SPANS,
        survey=describe_survey(),
    )


def find_time_gaps(times_mjd: Sequence[float]) -> tuple[TimeGap, ...]:
    """Find the times between tiles in which at least one tile is missing.

    Parameters
    ----------
    times_mjd : middles of the tiles in order, days, UTC.
    """
    return tuple(
        TimeGap(before + TILE_DAYS / 2, after - TILE_DAYS / 2, round((after - before) / TILE_DAYS) - 1)
        for before, after in pairwise(times_mjd)
        if after - before > 1.5 * TILE_DAYS
    )


def find_strips(tiles: Sequence[ObservedTile]) -> tuple[DeclinationStrip, ...]:
    """Sort tiles into declination strips, the most northern first.

    Parameters
    ----------
    tiles : in any order; a strip ends where the next declination differs by more than `STRIP_DEG`.
    """
    strips: list[list[ObservedTile]] = []
    for tile in sorted(tiles, key=lambda tile: -tile.dec_deg):
        if not strips or strips[-1][-1].dec_deg - tile.dec_deg > STRIP_DEG:
            strips.append([])
        strips[-1].append(tile)
    return tuple(_strip(strip) for strip in strips)


def _strip(tiles: Sequence[ObservedTile]) -> DeclinationStrip:
    centres = _centres(tiles)
    dec_deg = float(np.mean(centres[:, 1]))
    return DeclinationStrip(dec_deg, len(tiles), uncovered_ra(centres, TILE_DEG / 2, dec_deg))


def _centres(tiles: Sequence[ObservedTile]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([(tile.ra_deg, tile.dec_deg) for tile in tiles], dtype=np.float64).reshape(-1, 2)


def _sidereal_time_deg(mjd: float) -> float:
    """Return the mean sidereal time (IAU 1982) with UTC for UT1: right ascension of the meridian, equinox of date."""
    return (280.46061837 + 360.98564736629 * (mjd - 51544.5) + LONGITUDE_DEG) % 360
