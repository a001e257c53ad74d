"""The calibrator catalogue, and which of its sources a tile can be calibrated on.

Positions and L-band fluxes come from the VLA calibrator manual's list (scripts/build_calibrators.py); the sources
of the Perley & Butler 2017 scale take their spectra from it.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.errors import BadInput
from contimg.formats.ms.info import MSInfo
from contimg.instrument import flux_scale
from contimg.instrument.dsa110 import primary_beam

_CATALOGUE_HZ = 1.45e9  # the manual's 20 cm band
_USABLE = "PS"  # closure errors up to 10 %
FAR_RAD = 0.1  # beyond the beam's first null at every frequency
COMPANY = 0.01  # of the calibrator's apparent flux
_COORDINATES = re.compile(r"\d{4}[+-]\d{3,4}$")


@dataclass(frozen=True)
class Calibrator:
    """One catalogued point source.

    Attributes
    ----------
    name : IAU name, for example 0137+331.
    alias : common name, for example 3C48, or empty.
    aliases : all its other names.
    ra_rad, dec_rad : ICRS position.
    flux_20cm_jy : catalogued flux at 1.45 GHz.
    spectral_index : of S ~ nu^alpha near 20 cm.
    quality : the manual's code at 20 cm: P, S, W, X, C or ?.
    variable : its flux changes: good for phases, never for the flux scale.
    """

    name: str
    alias: str
    ra_rad: float
    dec_rad: float
    flux_20cm_jy: float
    spectral_index: float
    quality: str
    variable: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name people say: the alias where there is one."""
        return self.alias or self.name

    @property
    def scale(self) -> str:
        """Where its flux comes from."""
        return flux_scale.NAME if self.alias in flux_scale.COEFFICIENTS else "VLA calibrator manual"

    @property
    def usable(self) -> bool:
        """Compact enough for this array: on the flux scale, or of a good code."""
        return self.alias in flux_scale.COEFFICIENTS or self.quality in _USABLE

    def flux_jy(self, freqs_hz: ArrayLike) -> NDArray[np.float64]:
        """Flux density outside the beam, Jy, the shape of `freqs_hz`."""
        if self.alias in flux_scale.COEFFICIENTS:
            return flux_scale.flux_jy(self.alias, freqs_hz)
        ratio = np.asarray(freqs_hz, dtype=np.float64) / _CATALOGUE_HZ
        return np.asarray(self.flux_20cm_jy * ratio**self.spectral_index)


@dataclass(frozen=True)
class InBeam:
    """A calibrator and how it is seen at mid-tile and mid-band: the beam's response and the flux after it (Jy)."""

    calibrator: Calibrator
    attenuation: float
    apparent_jy: float


@lru_cache(maxsize=1)
def catalogue() -> tuple[Calibrator, ...]:
    """Every source of the catalogue, by name."""
    text = files("contimg.instrument.data").joinpath("calibrators.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_calibrator(row) for row in rows)


def _calibrator(row: dict[str, str]) -> Calibrator:
    aliases = tuple(row["aliases"].split())
    return Calibrator(
        name=row["name"],
        alias=next((one for one in aliases if not _COORDINATES.match(one)), ""),
        ra_rad=float(np.deg2rad(float(row["ra_deg"]))),
        dec_rad=float(np.deg2rad(float(row["dec_deg"]))),
        flux_20cm_jy=float(row["flux_20cm_jy"]),
        spectral_index=float(row["spectral_index"]),
        quality=row["quality"],
        variable=row["variable"] == "1",
        aliases=aliases,
    )


def named(name: str) -> Calibrator:
    """The source of a name or alias, whatever its spaces, capitals or a leading J; BadInput when there is none."""
    asked = _plain(name)
    for one in catalogue():
        if asked in {_plain(other) for other in (one.name, *one.aliases)}:
            return one
    raise BadInput(f"calibrator {name}: not in the catalogue; `contimg calibrators --near RA,DEC` searches by place")


def _plain(name: str) -> str:
    squeezed = name.upper().replace(" ", "")
    return squeezed.removeprefix("J") if _COORDINATES.match(squeezed.removeprefix("J")) else squeezed


def cone(ra_rad: float, dec_rad: float, radius_rad: float) -> list[tuple[float, Calibrator]]:
    """The sources within a radius of a place, with their distances (radians), the nearest first."""
    away = ((float(separation_rad((ra_rad, dec_rad), (one.ra_rad, one.dec_rad))), one) for one in catalogue())
    return sorted((found for found in away if found[0] <= radius_rad), key=lambda found: found[0])


def in_beam(
    tile: MSInfo, min_attenuation: float, min_apparent_jy: float, sources: Iterable[Calibrator] | None = None
) -> list[InBeam]:
    """The calibrators that a tile can be solved on: steady ones first, then the brightest (after the beam).

    A source counts when the primary beam at mid-tile and mid-band passes at least `min_attenuation` of it and at
    least `min_apparent_jy` remain.
    """
    usable = [one for one in (catalogue() if sources is None else sources) if one.usable]
    found = [
        one for one in _seen(tile, usable) if one.attenuation >= min_attenuation and one.apparent_jy >= min_apparent_jy
    ]
    return sorted(found, key=lambda one: (one.calibrator.variable, -one.apparent_jy))


def with_company(tile: MSInfo, main: InBeam, sources: Iterable[Calibrator] | None = None) -> list[InBeam]:
    """A calibrator and the catalogued sources of at least 1 % of its apparent flux: together the tile's model.

    Companions may be of any quality: a resolved source modelled as a point errs less than one left out.
    """
    others = [
        one
        for one in _seen(tile, catalogue() if sources is None else sources)
        if one.calibrator is not main.calibrator and one.apparent_jy >= COMPANY * main.apparent_jy
    ]
    return [main, *sorted(others, key=lambda one: -one.apparent_jy)]


def _seen(tile: MSInfo, sources: Iterable[Calibrator]) -> Iterator[InBeam]:
    freq_hz = float(np.mean(tile.freqs_hz))
    middle = tile.pointing_rad[len(tile.times_mjd_s) // 2]
    for source in sources:
        separation = float(separation_rad(middle, (source.ra_rad, source.dec_rad)))
        if separation <= FAR_RAD:
            attenuation = float(primary_beam(separation, freq_hz))
            yield InBeam(source, attenuation, attenuation * float(source.flux_jy(freq_hz)))


def separation_rad(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Angle between directions (ra, dec), radians, last axis 2; haversine, exact at small angles."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    ra = np.sin(0.5 * (a[..., 0] - b[..., 0])) ** 2
    dec = np.sin(0.5 * (a[..., 1] - b[..., 1])) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(dec + np.cos(a[..., 1]) * np.cos(b[..., 1]) * ra, 0.0, 1.0))))
