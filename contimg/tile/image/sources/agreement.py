"""Sources of an image: found blindly, and catalogued ones as it shows them. Numbers alone, light to import."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

MAX_SOURCES = 200  # that an image's record lists


@dataclass(frozen=True)
class Entry:
    """A catalogued source: ICRS degrees, and the flux (Jy) outside the primary beam, at the image's frequency."""

    name: str
    ra_deg: float
    dec_deg: float
    flux_jy: float


@dataclass(frozen=True)
class Match:
    """A catalogued source as the image shows it.

    Attributes
    ----------
    entry : what the catalogue says.
    apparent_jy, flux_jy : measured per beam, and over the primary beam.
    attenuation : of the primary beam.
    east_arcsec, north_arcsec : measured less catalogued position.
    """

    entry: Entry
    apparent_jy: float
    flux_jy: float
    attenuation: float
    east_arcsec: float
    north_arcsec: float

    @property
    def flux_ratio(self) -> float:
        """Measured over catalogued flux."""
        return self.flux_jy / self.entry.flux_jy


@dataclass(frozen=True)
class Agreement:
    """The matches and their medians, nan when there are none."""

    matches: tuple[Match, ...] = ()

    @property
    def offset_arcsec(self) -> float:
        """Length of the median offset."""
        if not self.matches:
            return float("nan")
        return math.hypot(
            median(one.east_arcsec for one in self.matches), median(one.north_arcsec for one in self.matches)
        )

    @property
    def flux_ratio(self) -> float:
        """Median of measured over catalogued flux."""
        return median(one.flux_ratio for one in self.matches) if self.matches else float("nan")


@dataclass(frozen=True)
class FoundSource:
    """A source found blindly; fluxes are apparent: over `attenuation` they are true.

    Attributes
    ----------
    name : from its position, `J012345+334455`.
    ra_deg, dec_deg : ICRS; `ra_error_arcsec`, `dec_error_arcsec` their errors on the sky.
    peak_jy, flux_jy : per beam, and integrated; `peak_error_jy`, `flux_error_jy` their errors.
    major_arcsec, minor_arcsec, angle_deg : fitted full widths at half maximum, not deconvolved from the beam.
    local_rms_jy : noise around it.
    attenuation : of the primary beam.
    """

    name: str
    ra_deg: float
    dec_deg: float
    ra_error_arcsec: float
    dec_error_arcsec: float
    peak_jy: float
    peak_error_jy: float
    flux_jy: float
    flux_error_jy: float
    major_arcsec: float
    minor_arcsec: float
    angle_deg: float
    local_rms_jy: float
    attenuation: float


def plain_sources(found: Sequence[FoundSource], matches: Sequence[Match]) -> tuple[dict[str, Any], ...]:
    """Return the brightest sources as plain values: those found blindly, or the catalogued ones when there are none."""
    if found:
        return tuple(
            {name: value for name, value in asdict(source).items() if value == value}  # JSON has no nan
            for source in found[:MAX_SOURCES]
        )
    return tuple(
        {
            "name": match.entry.name,
            "ra_deg": match.entry.ra_deg,
            "dec_deg": match.entry.dec_deg,
            "flux_jy": match.apparent_jy,
            "true_flux_jy": match.flux_jy,
            "catalogue_jy": match.entry.flux_jy,
        }
        for match in matches
    )
