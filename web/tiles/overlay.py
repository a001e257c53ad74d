"""Grid and sources over an image, by the SIN projection that its FITS header names."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

RA_STEPS_DEG = (0.25 / 4, 0.125, 0.25, 0.5, 1.0, 1.25, 2.5, 5.0, 10.0, 15.0)
DEC_STEPS_DEG = (1 / 12, 1 / 6, 0.25, 0.5, 1.0, 2.0, 5.0)
MAX_LINES = 5


@dataclass(frozen=True)
class GridLine:
    """A line of the grid, its label and the label's position; pixels from the upper left."""

    points: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class PlacedSource:
    """A source; x and y in pixels from the upper left."""

    x: float
    y: float
    ra_deg: float
    dec_deg: float
    flux_jy: float


@dataclass(frozen=True)
class Overlay:
    """An image's projection: centre and pixel size in degrees, and the number of pixels a side."""

    ra_deg: float
    dec_deg: float
    pixels: int
    cell_deg: float

    def project(self, ra_deg: float, dec_deg: float) -> tuple[float, float] | None:
        """Project a direction by the orthographic SIN projection.

        Source: Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.5.

        Parameters
        ----------
        ra_deg, dec_deg : right ascension and declination, degrees.

        Returns
        -------
        x and y in pixels from the upper left corner, also outside the image; None for a direction that is 90 degrees or
        more from the centre.
        """
        ra, dec, dec0 = math.radians(ra_deg - self.ra_deg), math.radians(dec_deg), math.radians(self.dec_deg)
        if math.sin(dec0) * math.sin(dec) + math.cos(dec0) * math.cos(dec) * math.cos(ra) <= 0:
            return None
        east = math.cos(dec) * math.sin(ra)
        north = math.sin(dec) * math.cos(dec0) - math.cos(dec) * math.sin(dec0) * math.cos(ra)
        scale = 1 / math.radians(self.cell_deg)
        # The centre of pixel pixels // 2, counted from 0 at the lower left, is the reference point.
        return self.pixels // 2 + 0.5 - east * scale, self.pixels - self.pixels // 2 - 0.5 - north * scale

    def grid(self) -> tuple[GridLine, ...]:
        """Return lines of right ascension and declination, about `MAX_LINES` of each."""
        half = self.pixels * self.cell_deg / 2
        half_ra = half / max(0.05, math.cos(math.radians(min(89.0, abs(self.dec_deg) + half))))
        lines = []
        for ra in _multiples(self.ra_deg, half_ra, RA_STEPS_DEG):
            directions = [(ra, self.dec_deg + half * n / 16) for n in range(-18, 19)]
            lines.append(self._line(directions, _format_ra(ra), label_at_bottom=True))
        for dec in _multiples(self.dec_deg, half, DEC_STEPS_DEG):
            directions = [(self.ra_deg + half_ra * n / 16, dec) for n in range(-18, 19)]
            lines.append(self._line(directions, _format_dec(dec), label_at_bottom=False))
        return tuple(line for line in lines if line is not None)

    def sources(self, sources: Iterable[Mapping[str, Any]]) -> tuple[PlacedSource, ...]:
        """Place the sources that are on the image; those without position or flux are left out.

        Parameters
        ----------
        sources : each with `ra_deg`, `dec_deg` (degrees) and `flux_jy` (Jy).
        """
        placed = []
        for source in sources:
            numbers = [source.get(key) for key in ("ra_deg", "dec_deg", "flux_jy")]
            if all(isinstance(number, int | float) for number in numbers):
                ra, dec, flux = (float(number) for number in numbers)  # type: ignore[arg-type]
                point = self.project(ra, dec)
                if point and self._contains(point):
                    placed.append(PlacedSource(*point, ra, dec, flux))
        return tuple(placed)

    def _contains(self, point: tuple[float, float]) -> bool:
        return all(0 <= side <= self.pixels for side in point)

    def _line(self, directions: Iterable[tuple[float, float]], label: str, *, label_at_bottom: bool) -> GridLine | None:
        points = [point for point in (self.project(*direction) for direction in directions) if point]
        inside = [point for point in points if self._contains(point)]
        if len(inside) < 2:
            return None
        x, y = max(inside, key=lambda point: point[1]) if label_at_bottom else min(inside)
        return GridLine(" ".join(f"{x:.1f},{y:.1f}" for x, y in points), label, x, y)


def _multiples(middle: float, half: float, steps: Iterable[float]) -> list[float]:
    """Return the multiples of the first step that gives at most `MAX_LINES` within `half` of the middle."""
    step = next((step for step in steps if 2 * half / step <= MAX_LINES), max(steps))
    first = math.ceil((middle - half) / step)
    return [n * step for n in range(first, math.floor((middle + half) / step) + 1)]


def _format_ra(ra_deg: float) -> str:
    seconds = round(ra_deg % 360 * 240) % 86400
    return f"{seconds // 3600}h{seconds // 60 % 60:02d}m" + (f"{seconds % 60:02d}s" if seconds % 60 else "")


def _format_dec(dec_deg: float) -> str:
    minutes = round(abs(dec_deg) * 60)
    return f"{'−' if dec_deg < 0 else '+'}{minutes // 60}°{minutes % 60:02d}′"
