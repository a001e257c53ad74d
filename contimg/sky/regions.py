"""Regions of the sky and whether they overlap: circles, ranges of coordinates, polygons, and outlines of mosaics.

Two regions overlap when the outline of one, in steps of at most `STEP_DEG`, has a point in the other, or the middle of
one lies in the other. Right ascension 0h and the poles are no borders.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.instrument.coordinates import separation_rad
from contimg.sky.catalogue.pixels import cone_ranges

STEP_DEG = 0.05
CELL_NSIDE = 8  # cells of 7.3 degrees of the index of mosaics, which are 4 by 17 degrees
_MIN_POINTS, _MAX_POINTS = 16, 4000  # of a side of an outline
Degrees = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Region(Protocol):
    """A connected part of the sky; coordinates are ICRS, degrees."""

    def contains(self, ra_deg: Degrees, dec_deg: Degrees) -> Mask:
        """Return whether directions lie in the region; shape (n,)."""

    def outline(self) -> tuple[Degrees, Degrees]:
        """Return right ascension and declination of points on the outline, in order."""

    def middle(self) -> tuple[float, float]:
        """Return a direction inside the region."""


def overlap(first: Region, second: Region) -> bool:
    """Return whether two regions have a direction in common.

    Parameters
    ----------
    first, second : the regions.
    """
    for region, counterpart in ((first, second), (second, first)):
        ra_deg, dec_deg = region.outline()
        middle_ra, middle_dec = region.middle()
        if counterpart.contains(np.append(ra_deg, middle_ra), np.append(dec_deg, middle_dec)).any():
            return True
    return False


def bounding_circle(region: Region) -> tuple[float, float, float]:
    """Return right ascension, declination and radius, degrees, of a circle around a region.

    Parameters
    ----------
    region : one that is larger than half of the sky has the whole sky, a radius of 180.
    """
    ra_deg, dec_deg = region.middle()
    radius_deg = float(_separation_deg(*region.outline(), ra_deg, dec_deg).max())
    antipode = np.array([(ra_deg + 180) % 360]), np.array([-dec_deg])
    return ra_deg, dec_deg, 180.0 if radius_deg > 90 or region.contains(*antipode)[0] else radius_deg + STEP_DEG


def cells_of(ra_deg: float, dec_deg: float, radius_deg: float) -> list[tuple[int, int]]:
    """Return the ranges of the index of mosaics that a circle touches: first cell, and the one after the last.

    Parameters
    ----------
    ra_deg, dec_deg, radius_deg : of the circle.
    """
    ranges = cone_ranges(ra_deg, dec_deg, radius_deg, CELL_NSIDE).tolist()
    return [(first, after) for first, after in ranges]


def footprint_cells(
    ra_deg: float, dec_deg: float, width_pixels: int, height_pixels: int, cell_arcsec: float
) -> list[int]:
    """Return the cells of the index of mosaics that a circle around a mosaic touches.

    Parameters
    ----------
    ra_deg, dec_deg, width_pixels, height_pixels, cell_arcsec : of the mosaic.
    """
    size_deg = (cell_arcsec / 3600 * pixels for pixels in (width_pixels, height_pixels))
    footprint = Footprint(ra_deg, dec_deg, *size_deg)
    ranges = cells_of(ra_deg, dec_deg, footprint.radius_deg)
    return [cell for first, after in ranges for cell in range(first, after)]


@dataclass(frozen=True)
class Circle:
    """Directions within a radius of a centre; all in degrees, ICRS."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def contains(self, ra_deg: Degrees, dec_deg: Degrees) -> Mask:
        """Return whether directions lie in the circle; shape (n,)."""
        return np.asarray(_separation_deg(ra_deg, dec_deg, self.ra_deg, self.dec_deg) <= self.radius_deg + 1e-9)

    def outline(self) -> tuple[Degrees, Degrees]:
        """Return points on the circle."""
        angles = np.linspace(0, 2 * np.pi, _point_count(360 * np.sin(np.deg2rad(self.radius_deg))), endpoint=False)
        radius = np.full(angles.size, np.deg2rad(self.radius_deg))
        return _move(self.ra_deg, self.dec_deg, radius, angles)

    def middle(self) -> tuple[float, float]:
        """Return the centre."""
        return self.ra_deg, self.dec_deg


@dataclass(frozen=True)
class Range:
    """Directions between two right ascensions, eastwards from the first, and two declinations; degrees, ICRS."""

    ra_min_deg: float
    ra_max_deg: float
    dec_min_deg: float
    dec_max_deg: float

    @property
    def width_deg(self) -> float:
        """Extent in right ascension, 0 to 360."""
        width_deg = self.ra_max_deg - self.ra_min_deg
        return min(width_deg if width_deg >= 0 else width_deg % 360, 360.0)

    def contains(self, ra_deg: Degrees, dec_deg: Degrees) -> Mask:
        """Return whether directions lie in the range; shape (n,). A pole lies in every range that reaches it."""
        east = (np.asarray(ra_deg) - self.ra_min_deg) % 360
        dec = np.asarray(dec_deg)
        is_east = (east <= self.width_deg) | (np.abs(dec) == 90)
        return np.asarray(is_east & (dec >= self.dec_min_deg) & (dec <= self.dec_max_deg))

    def outline(self) -> tuple[Degrees, Degrees]:
        """Return points on the four sides; those on the meridians count for a range of all right ascensions, too."""
        along = np.linspace(0, 1, _point_count(self.width_deg))
        up = np.linspace(0, 1, _point_count(self.dec_max_deg - self.dec_min_deg))
        ra = self.ra_min_deg + self.width_deg * np.concatenate(
            [along, np.ones(up.size), along[::-1], np.zeros(up.size)]
        )
        fraction = np.concatenate([np.zeros(along.size), up, np.ones(along.size), up[::-1]])
        return ra % 360, self.dec_min_deg + (self.dec_max_deg - self.dec_min_deg) * fraction

    def middle(self) -> tuple[float, float]:
        """Return the mean of the limits."""
        return (self.ra_min_deg + self.width_deg / 2) % 360, (self.dec_min_deg + self.dec_max_deg) / 2


@dataclass(frozen=True)
class Polygon:
    """Directions within great circles between vertices, smaller than a hemisphere; degrees, ICRS, either order."""

    vertices: tuple[tuple[float, float], ...]

    def contains(self, ra_deg: Degrees, dec_deg: Degrees) -> Mask:
        """Return whether directions lie in the polygon: the vertices, seen from there, go around; shape (n,)."""
        points, corners = _vectors(np.asarray(ra_deg), np.asarray(dec_deg)), self._corners()
        # Angles between successive vertices, around each point.
        total = np.zeros(len(points))
        for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            normal = np.cross(points, first), np.cross(points, second)
            sine = np.einsum("ij,ij->i", np.cross(*normal), points)
            total += np.arctan2(sine, np.einsum("ij,ij->i", *normal))
        return np.asarray((np.abs(total) > np.pi) & (points @ corners.mean(axis=0) > 0))

    def outline(self) -> tuple[Degrees, Degrees]:
        """Return points on the great circles between the vertices."""
        corners = self._corners()
        sides = []
        for first, second in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            angle = np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)
            part = np.linspace(0, 1, _point_count(np.rad2deg(angle)), endpoint=False)[:, None]
            sides.append(first + part * (second - first))
        return _coordinates(np.concatenate(sides))

    def middle(self) -> tuple[float, float]:
        """Return the mean of the vertices, or the first vertex of a polygon that has its mean outside."""
        ra_deg, dec_deg = _coordinates(self._corners().mean(axis=0)[None])
        mean = float(ra_deg[0]), float(dec_deg[0])
        return mean if self.contains(ra_deg, dec_deg)[0] else self.vertices[0]

    def _corners(self) -> NDArray[np.float64]:
        return _vectors(*np.array(self.vertices, dtype=np.float64).T)


@dataclass(frozen=True)
class Footprint:
    """The rectangle of an image in the zenithal equal-area projection around its centre; degrees, ICRS."""

    ra_deg: float
    dec_deg: float
    width_deg: float
    height_deg: float

    def contains(self, ra_deg: Degrees, dec_deg: Degrees) -> Mask:
        """Return whether directions lie in the image; shape (n,)."""
        dec0, dec = np.deg2rad(self.dec_deg), np.deg2rad(dec_deg)
        east = np.deg2rad(np.asarray(ra_deg) - self.ra_deg)
        # Calabretta & Greisen (2002, A&A 395, 1077), equations 5 and 69.
        cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(east)
        scale = np.sqrt(2 / np.maximum(1 + cosine, 1e-12))
        x = scale * np.cos(dec) * np.sin(east)
        y = scale * (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(east))
        half = np.deg2rad([self.width_deg, self.height_deg]) / 2
        return np.asarray((np.abs(x) <= half[0]) & (np.abs(y) <= half[1]) & (cosine > -0.999))

    def outline(self) -> tuple[Degrees, Degrees]:
        """Return points on the four sides."""
        return self._side_points(_point_count(max(self.width_deg, self.height_deg)))

    def polygon(self) -> tuple[tuple[float, float], ...]:
        """Return 32 vertices of the outline, counter-clockwise on the sky with north up and east to the left."""
        ra_deg, dec_deg = self._side_points(8)
        return tuple(zip(np.round(ra_deg, 4).tolist(), np.round(dec_deg, 4).tolist(), strict=True))

    def middle(self) -> tuple[float, float]:
        """Return the centre."""
        return self.ra_deg, self.dec_deg

    @property
    def radius_deg(self) -> float:
        """Distance of the corners from the centre."""
        return float(np.rad2deg(2 * np.arcsin(min(np.deg2rad(np.hypot(self.width_deg, self.height_deg) / 2) / 2, 1.0))))

    def _side_points(self, count: int) -> tuple[Degrees, Degrees]:
        side = np.linspace(-1, 1, count, endpoint=False)
        x = np.concatenate([-side, -np.ones(count), side, np.ones(count)]) * self.width_deg / 2
        y = np.concatenate([-np.ones(count), side, np.ones(count), -side]) * self.height_deg / 2
        distance = 2 * np.arcsin(np.clip(np.deg2rad(np.hypot(x, y)) / 2, 0, 1))
        return _move(self.ra_deg, self.dec_deg, distance, np.arctan2(x, y))


def _point_count(length_deg: float) -> int:
    return int(np.clip(np.ceil(length_deg / STEP_DEG) + 1, _MIN_POINTS, _MAX_POINTS))


def _separation_deg(ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: float, dec0_deg: float) -> Degrees:
    directions = np.deg2rad(np.stack(np.broadcast_arrays(np.asarray(ra_deg), np.asarray(dec_deg)), axis=-1))
    return np.asarray(np.rad2deg(separation_rad(directions, np.deg2rad([ra0_deg, dec0_deg]))))


def _move(ra_deg: float, dec_deg: float, distance: Degrees, angle: Degrees) -> tuple[Degrees, Degrees]:
    """Directions at distances and position angles (radians) from a direction (degrees)."""
    dec0 = np.deg2rad(dec_deg)
    sine = np.sin(dec0) * np.cos(distance) + np.cos(dec0) * np.sin(distance) * np.cos(angle)
    ra = np.arctan2(np.sin(angle) * np.sin(distance) * np.cos(dec0), np.cos(distance) - np.sin(dec0) * sine)
    return (ra_deg + np.rad2deg(ra)) % 360, np.rad2deg(np.arcsin(np.clip(sine, -1, 1)))


def _vectors(ra_deg: Degrees, dec_deg: Degrees) -> NDArray[np.float64]:
    ra, dec = np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def _coordinates(vectors: NDArray[np.float64]) -> tuple[Degrees, Degrees]:
    x, y, z = vectors.T
    return np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arctan2(z, np.hypot(x, y)))
