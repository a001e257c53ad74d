"""The calibrator catalogue.

Positions and L-band fluxes come from the VLA calibrator manual's list (scripts/build_calibrators.py); the sources
of the Perley & Butler 2017 scale take their spectra from it.
"""

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.errors import BadInput
from contimg.instrument import flux_scale
from contimg.instrument.coordinates import separation_rad

_CATALOGUE_HZ = 1.45e9  # the manual's 20 cm band
_COMPACT_CODES = "PS"  # closure errors up to 10 %
SEARCH_RADIUS_RAD = 0.1  # beyond the primary beam's first null at every frequency
_COORDINATE_NAME = re.compile(r"\d{4}[+-]\d{3,4}$")


@dataclass(frozen=True)
class Calibrator:
    """A catalogued point source.

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
        """The alias where there is one, else the name."""
        return self.alias or self.name

    @property
    def scale(self) -> str:
        """The source of the flux: the flux scale or the manual."""
        return flux_scale.NAME if self.alias in flux_scale.COEFFICIENTS else "VLA calibrator manual"

    @property
    def usable(self) -> bool:
        """Whether the source is compact enough for this array: on the flux scale, or with code P or S."""
        return self.alias in flux_scale.COEFFICIENTS or self.quality in _COMPACT_CODES

    def flux_jy(self, freqs_hz: ArrayLike) -> NDArray[np.float64]:
        """Return the flux density outside the primary beam.

        Sources of the scale of Perley & Butler (2017, ApJS 230, 7) have their spectrum from there, others a power law
        through the VLA calibrator manual's flux at 1.45 GHz.

        Parameters
        ----------
        freqs_hz : frequencies, any shape.

        Returns
        -------
        Jy, the shape of `freqs_hz`.
        """
        if self.alias in flux_scale.COEFFICIENTS:
            return flux_scale.flux_jy(self.alias, freqs_hz)
        ratio = np.asarray(freqs_hz, dtype=np.float64) / _CATALOGUE_HZ
        return np.asarray(self.flux_20cm_jy * ratio**self.spectral_index)


@lru_cache(maxsize=1)
def catalogue() -> tuple[Calibrator, ...]:
    """Return every source of the catalogue, sorted by name."""
    text = files("contimg.instrument.data").joinpath("calibrators.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_parse_row(row) for row in rows)


def _parse_row(row: dict[str, str]) -> Calibrator:
    aliases = tuple(row["aliases"].split())
    return Calibrator(
        name=row["name"], alias=next((alias for alias in aliases if not _COORDINATE_NAME.match(alias)), ""),
        ra_rad=float(np.deg2rad(float(row["ra_deg"]))), dec_rad=float(np.deg2rad(float(row["dec_deg"]))),
        flux_20cm_jy=float(row["flux_20cm_jy"]), spectral_index=float(row["spectral_index"]), quality=row["quality"],
        variable=row["variable"] == "1", aliases=aliases,
    )  # fmt: skip


def find_calibrator(name: str) -> Calibrator:
    """Return the source with a name or alias.

    Parameters
    ----------
    name : compared without spaces, capitals and a leading J.

    Raises
    ------
    BadInput : the catalogue has no source of this name.
    """
    key = _normalized(name)
    for source in catalogue():
        if key in {_normalized(alias) for alias in (source.name, *source.aliases)}:
            return source
    raise BadInput(
        f"calibrator {name}: not in the catalogue; search by position with `contimg calibrators --near RA,DEC`"
    )


def _normalized(name: str) -> str:
    compact = name.upper().replace(" ", "")
    return compact.removeprefix("J") if _COORDINATE_NAME.match(compact.removeprefix("J")) else compact


def cone_search(ra_rad: float, dec_rad: float, radius_rad: float) -> list[tuple[float, Calibrator]]:
    """Return the sources within `radius_rad` of an ICRS position, with their distances (radians), nearest first.

    Parameters
    ----------
    ra_rad, dec_rad : ICRS, radians.
    radius_rad : largest distance.
    """
    distances = [float(separation_rad((ra_rad, dec_rad), (row.ra_rad, row.dec_rad))) for row in catalogue()]
    pairs = zip(distances, catalogue(), strict=True)
    return sorted((pair for pair in pairs if pair[0] <= radius_rad), key=lambda pair: pair[0])
