"""Sky that discs cover: its area, and the ranges of right ascension that they leave out."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ROW_DEG = 0.02
_Intervals = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class RaRange:
    """A range of right ascension, degrees; `end_deg` is below `begin_deg` in a range across 0h."""

    begin_deg: float
    end_deg: float

    @property
    def width_deg(self) -> float:
        """Its extent in right ascension, degrees."""
        return (self.end_deg - self.begin_deg) % 360 or 360.0


def covered_area_deg2(centres_deg: NDArray[np.float64], radius_deg: float) -> float:
    """Return the area of the union of discs of equal radius; where they overlap, it counts once.

    Parameters
    ----------
    centres_deg : right ascension and declination of the centres, degrees, shape (discs, 2).
    radius_deg : angular radius of the discs, degrees.

    Returns
    -------
    square degrees. The union's extent in right ascension is exact on rows of declination `ROW_DEG` high; the area of a
    row is its extent times the difference of the sine of declination at its edges.
    """
    if not len(centres_deg):
        return 0.0
    low = max(-90.0, float(np.min(centres_deg[:, 1])) - radius_deg)
    high = min(90.0, float(np.max(centres_deg[:, 1])) + radius_deg)
    edges_deg = np.linspace(low, high, max(2, int(np.ceil((high - low) / ROW_DEG)) + 1))
    area_sr = 0.0
    for south_deg, north_deg in pairwise(edges_deg):
        begins, ends = _merge(*_intervals(centres_deg, radius_deg, 0.5 * (south_deg + north_deg)))
        height = np.sin(np.radians(north_deg)) - np.sin(np.radians(south_deg))
        area_sr += float(np.radians(np.sum(ends - begins)) * height)
    return float(np.degrees(np.degrees(area_sr)))


def uncovered_ra(centres_deg: NDArray[np.float64], radius_deg: float, dec_deg: float) -> tuple[RaRange, ...]:
    """Return the ranges of right ascension at a declination that no disc covers, in order of right ascension.

    Parameters
    ----------
    centres_deg : right ascension and declination of the centres, degrees, shape (discs, 2).
    radius_deg : angular radius of the discs, degrees.
    dec_deg : declination, degrees.

    Returns
    -------
    the ranges; the last one may extend across 0h. One range of 360 degrees where no disc covers anything.
    """
    begins, ends = _merge(*_intervals(centres_deg, radius_deg, dec_deg))
    if not len(begins):
        return (RaRange(0.0, 0.0),)
    following = np.append(begins[1:], begins[0] + 360)
    gaps = [
        RaRange(float(end % 360), float(begin % 360))
        for end, begin in zip(ends, following, strict=True)
        if begin - end > 1e-9
    ]
    return tuple(gaps)


def _intervals(centres_deg: NDArray[np.float64], radius_deg: float, dec_deg: float) -> _Intervals:
    """The extents in right ascension of discs at a declination, degrees, by the spherical law of cosines."""
    dec, centre_dec, radius = np.radians(dec_deg), np.radians(centres_deg[:, 1]), np.radians(radius_deg)
    across = np.cos(dec) * np.cos(centre_dec)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (np.cos(radius) - np.sin(dec) * np.sin(centre_dec)) / across
    cosine = np.where(across < 1e-15, np.where(np.abs(dec - centre_dec) <= radius, -1.0, 1.0), cosine)
    half_deg = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    reaches = half_deg > 0
    begins = (centres_deg[reaches, 0] - half_deg[reaches]) % 360
    return begins, begins + 2 * half_deg[reaches]


def _merge(begins: NDArray[np.float64], ends: NDArray[np.float64]) -> _Intervals:
    """Disjoint intervals in order, degrees, that cover the same; a whole circle is one of 360 degrees."""
    beyond = ends > 360  # what extends across 0h continues from there
    begins, ends = np.append(begins, np.zeros(np.sum(beyond))), np.append(np.minimum(ends, 360), ends[beyond] - 360)
    order = np.argsort(begins)
    begins, ends = begins[order], np.maximum.accumulate(ends[order]) if len(ends) else ends
    is_first = np.append(True, begins[1:] > ends[:-1]) if len(begins) else np.zeros(0, dtype=bool)
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:] - 1, len(begins) - 1) if len(firsts) else firsts
    return begins[firsts], ends[lasts]
