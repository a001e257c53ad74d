"""Where things lie on an image: the SIN projection that its FITS header names, as lines to draw."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from contimg.store import StoredImage

RA_STEPS_DEG = (0.25 / 4, 0.125, 0.25, 0.5, 1.0, 1.25, 2.5, 5.0, 10.0, 15.0)
DEC_STEPS_DEG = (1 / 12, 1 / 6, 0.25, 0.5, 1.0, 2.0, 5.0)
LINES = 5


@dataclass(frozen=True)
class Line:
    """A line of the grid in pixels from the upper left, and what it is called."""

    points: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Source:
    """A source in pixels from the upper left, with its numbers."""

    x: float
    y: float
    ra_deg: float
    dec_deg: float
    flux_jy: float


@dataclass(frozen=True)
class Sky:
    """An image's projection: centre (deg), side of the picture (pixels), side of a pixel (deg)."""

    ra_deg: float
    dec_deg: float
    pixels: int
    cell_deg: float

    @classmethod
    def of(cls, image: StoredImage) -> Self:
        """The projection of an image."""
        return cls(image.ra_deg, image.dec_deg, image.pixels, image.cell_arcsec / 3600)

    def place(self, ra_deg: float, dec_deg: float) -> tuple[float, float] | None:
        """The place of a direction, pixels from the upper left; None for the other half of the sky."""
        ra, dec, dec0 = math.radians(ra_deg - self.ra_deg), math.radians(dec_deg), math.radians(self.dec_deg)
        if math.sin(dec0) * math.sin(dec) + math.cos(dec0) * math.cos(dec) * math.cos(ra) <= 0:
            return None
        east = math.cos(dec) * math.sin(ra)
        north = math.sin(dec) * math.cos(dec0) - math.cos(dec) * math.sin(dec0) * math.cos(ra)
        scale = 1 / math.radians(self.cell_deg)
        # The reference pixel is the one right of and above the middle, counted from the lower left; its centre counts.
        return self.pixels // 2 + 0.5 - east * scale, self.pixels - self.pixels // 2 - 0.5 - north * scale

    def grid(self) -> tuple[Line, ...]:
        """Lines of right ascension and declination, about `LINES` each way."""
        half = self.pixels * self.cell_deg / 2
        shrink = max(0.05, math.cos(math.radians(min(89.0, abs(self.dec_deg) + half))))
        lines = []
        for ra in _multiples(self.ra_deg, half / shrink, RA_STEPS_DEG):
            ring = ((ra, self.dec_deg + half * n / 16) for n in range(-18, 19))
            lines.append(self._line(ring, _hours(ra), bottom=True))
        for dec in _multiples(self.dec_deg, half, DEC_STEPS_DEG):
            ring = ((self.ra_deg + half / shrink * n / 16, dec) for n in range(-18, 19))
            lines.append(self._line(ring, _degrees(dec), bottom=False))
        return tuple(line for line in lines if line is not None)

    def sources(self, sources: Iterable[Mapping[str, Any]]) -> tuple[Source, ...]:
        """Sources that fall on the image; those without a place or a flux are left out."""
        found = []
        for one in sources:
            numbers = [one.get(key) for key in ("ra_deg", "dec_deg", "flux_jy")]
            if all(isinstance(number, int | float) for number in numbers):
                ra, dec, flux = (float(number) for number in numbers)  # type: ignore[arg-type]
                place = self.place(ra, dec)
                if place and all(0 <= side <= self.pixels for side in place):
                    found.append(Source(*place, ra, dec, flux))
        return tuple(found)

    def _line(self, ring: Iterable[tuple[float, float]], label: str, *, bottom: bool) -> Line | None:
        places = [place for place in (self.place(*one) for one in ring) if place]
        inside = [one for one in places if all(0 <= side <= self.pixels for side in one)]
        if len(inside) < 2:
            return None
        x, y = max(inside, key=lambda one: one[1]) if bottom else min(inside)
        return Line(" ".join(f"{x:.1f},{y:.1f}" for x, y in places), label, x, y)


def _multiples(middle: float, half: float, steps: Iterable[float]) -> list[float]:
    step = next((one for one in steps if 2 * half / one <= LINES), max(steps))
    first = math.ceil((middle - half) / step)
    return [n * step for n in range(first, math.floor((middle + half) / step) + 1)]


def _hours(ra_deg: float) -> str:
    seconds = round(ra_deg % 360 * 240) % 86400
    return f"{seconds // 3600}h{seconds // 60 % 60:02d}m" + (f"{seconds % 60:02d}s" if seconds % 60 else "")


def _degrees(dec_deg: float) -> str:
    minutes = round(abs(dec_deg) * 60)
    return f"{'−' if dec_deg < 0 else '+'}{minutes // 60}°{minutes % 60:02d}′"
