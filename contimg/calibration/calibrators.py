"""The calibrator catalogue, and which of its sources a tile can be calibrated on.

Positions and L-band fluxes come from the VLA calibrator manual's list (scripts/build_calibrators.py); the sources
of the Perley & Butler 2017 scale take their spectra from it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.calibration import flux_scale
from contimg.measurement_set.description import Description
from contimg.telescope import primary_beam

_CATALOGUE_HZ = 1.45e9  # the manual's 20 cm band
_USABLE = "PS"  # closure errors up to 10 %
_FAR_RAD = 0.1  # beyond the beam's first null at every frequency


@dataclass(frozen=True)
class Calibrator:
    """One catalogued point source.

    Attributes
    ----------
    name : IAU name, for example 0137+331.
    alias : common name, for example 3C48, or empty.
    ra_rad, dec_rad : ICRS position.
    flux_20cm_jy : catalogued flux at 1.45 GHz.
    spectral_index : of S ~ nu^alpha near 20 cm.
    quality : the manual's code at 20 cm: P, S, W, X, C or ?.
    """

    name: str
    alias: str
    ra_rad: float
    dec_rad: float
    flux_20cm_jy: float
    spectral_index: float
    quality: str

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
    text = files("contimg.data").joinpath("calibrators.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Calibrator(
            row["name"],
            row["alias"],
            float(np.deg2rad(float(row["ra_deg"]))),
            float(np.deg2rad(float(row["dec_deg"]))),
            float(row["flux_20cm_jy"]),
            float(row["spectral_index"]),
            row["quality"],
        )
        for row in rows
    )


def in_beam(
    tile: Description, min_attenuation: float, min_apparent_jy: float, sources: Iterable[Calibrator] | None = None
) -> list[InBeam]:
    """The calibrators that a tile can be solved on, the brightest (after the beam) first.

    A source counts when the primary beam at mid-tile and mid-band passes at least `min_attenuation` of it and at
    least `min_apparent_jy` remain.
    """
    freq_hz = float(np.mean(tile.freqs_hz))
    middle = tile.pointing_rad[len(tile.times_mjd_s) // 2]
    found = []
    for source in catalogue() if sources is None else sources:
        separation = float(separation_rad(middle, (source.ra_rad, source.dec_rad)))
        if not source.usable or separation > _FAR_RAD:
            continue
        attenuation = float(primary_beam(separation, freq_hz))
        seen = InBeam(source, attenuation, attenuation * float(source.flux_jy(freq_hz)))
        if attenuation >= min_attenuation and seen.apparent_jy >= min_apparent_jy:
            found.append(seen)
    return sorted(found, key=lambda one: -one.apparent_jy)


def separation_rad(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Angle between directions (ra, dec), radians, last axis 2; haversine, exact at small angles."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    ra = np.sin(0.5 * (a[..., 0] - b[..., 0])) ** 2
    dec = np.sin(0.5 * (a[..., 1] - b[..., 1])) ** 2
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(dec + np.cos(a[..., 1]) * np.cos(b[..., 1]) * ra, 0.0, 1.0))))
