"""Sources of an image: detected blindly, and catalogued ones as the image shows them. Light to import."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

MAX_SOURCES = 200  # that an image's record lists
FAINT_SNR = 7.0, 25.0  # expected peak over noise of faint sources; those above the second are bright
MIN_COMPARED = 5  # faint and bright sources each, below which they are not compared


@dataclass(frozen=True)
class CatalogueSource:
    """A catalogued source: ICRS degrees, and the true flux (Jy) at the image's frequency."""

    name: str
    ra_deg: float
    dec_deg: float
    flux_jy: float


@dataclass(frozen=True)
class Match:
    """A catalogued source as the image shows it.

    Attributes
    ----------
    source : the catalogue's values.
    apparent_jy, flux_jy : measured peak, Jy per beam, and the same over the primary beam.
    pb : the primary beam at its position.
    east_arcsec, north_arcsec : measured minus catalogued position.
    """

    source: CatalogueSource
    apparent_jy: float
    flux_jy: float
    pb: float
    east_arcsec: float
    north_arcsec: float

    @property
    def flux_ratio(self) -> float:
        """Measured over catalogued flux."""
        return self.flux_jy / self.source.flux_jy


@dataclass(frozen=True)
class FoundSource:
    """A source found blindly. Fluxes are apparent; divided by `attenuation`, the primary beam, they are true.

    The names of the fields are those of the columns of the source tables and of the keys in the API.

    Attributes
    ----------
    name : from its position, `J012345+334455`.
    ra_deg, dec_deg : ICRS; `ra_error_arcsec`, `dec_error_arcsec` their errors on the sky.
    peak_jy, flux_jy : per beam, and integrated; `peak_error_jy`, `flux_error_jy` their errors.
    major_arcsec, minor_arcsec, angle_deg : fitted full widths at half maximum, convolved with the synthesized beam.
    local_rms_jy : noise around it.
    attenuation : the primary beam at its position.
    mark : why it may be false, `edge` of the image or `near strong` source; empty otherwise.
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
    mark: str = ""


@dataclass(frozen=True)
class SubtractedSource:
    """A source outside the image. The names of the fields are those of the table's columns.

    Attributes
    ----------
    name : from its position, `J012345+334455`.
    ra_deg, dec_deg : mean of the components, weighted with their fluxes, ICRS.
    flux_jy : sum of the components: apparent flux at the image's frequency.
    distance_deg : from the image's centre.
    components : number of pixels with a component; 0 of a catalogued source beyond the field that is cleaned.
    """

    name: str
    ra_deg: float
    dec_deg: float
    flux_jy: float
    distance_deg: float
    components: int


def compute_offset_arcsec(matches: Sequence[Match]) -> float | None:
    """Return the length of the median offset from the catalogue; None without matches.

    Parameters
    ----------
    matches : catalogued sources as the image shows them; the medians to the east and to the north are taken separately.
    """
    if not matches:
        return None
    return math.hypot(median(match.east_arcsec for match in matches), median(match.north_arcsec for match in matches))


def compute_flux_ratio(matches: Sequence[Match]) -> float | None:
    """Return the median of measured over catalogued flux; None without matches.

    Parameters
    ----------
    matches : catalogued sources as the image shows them; measured fluxes are those corrected for the primary beam.
    """
    return median(match.flux_ratio for match in matches) if matches else None


def compute_faint_flux_ratio(matches: Sequence[Match], rms_jy: float) -> float | None:
    """Return the median of measured over catalogued flux of faint sources over that of bright ones.

    Cleaning that stops early leaves a part of each source in its sidelobes, the larger the fainter the source is.

    Parameters
    ----------
    matches : catalogued sources as the image shows them; their signal to noise is that expected from the catalogue.
    rms_jy : noise of the image.

    Returns
    -------
    The ratio; None with fewer than `MIN_COMPARED` faint or bright sources.
    """
    low, high = FAINT_SNR
    expected = [(match.source.flux_jy * match.pb / rms_jy, match.flux_ratio) for match in matches]
    faint = [ratio for snr, ratio in expected if low <= snr < high]
    bright = [ratio for snr, ratio in expected if snr >= high]
    return median(faint) / median(bright) if min(len(faint), len(bright)) >= MIN_COMPARED else None


def list_sources(found_sources: Sequence[FoundSource], matches: Sequence[Match]) -> tuple[dict[str, Any], ...]:
    """Return the brightest sources as plain values: those found blindly, or the catalogued ones when there are none.

    Parameters
    ----------
    found_sources : brightest first; only the first `MAX_SOURCES` are listed, without values that are NaN.
    matches : catalogued sources as the image shows them, brightest first.

    Returns
    -------
    One dictionary for each source, with the keys that the API answers.
    """
    if found_sources:
        return tuple(
            {name: value for name, value in asdict(source).items() if value == value}  # JSON has no nan
            for source in found_sources[:MAX_SOURCES]
        )
    return tuple(
        {
            "name": match.source.name, "ra_deg": match.source.ra_deg, "dec_deg": match.source.dec_deg,
            "flux_jy": match.apparent_jy, "true_flux_jy": match.flux_jy, "catalogue_jy": match.source.flux_jy,
        }
        for match in matches
    )  # fmt: skip
