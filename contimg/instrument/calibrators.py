"""The calibrator catalogue, and the transits of its sources over the telescope's meridian.

Positions and L-band fluxes come from the VLA calibrator manual's list (scripts/build_calibrators.py); the sources
of the flux density scale of Perley & Butler (2017, ApJS 230, 7) take their spectra from it.
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import TELESCOPE, itrf_directions, separation_rad
from contimg.instrument.dsa110 import BAND, SEFD_JY, primary_beam
from contimg.instrument.time import DAY_S, MJD_ZERO_JD, SIDEREAL_DAY_S

FLUX_SCALE = "Perley & Butler 2017"
# Compact sources, last epoch (2017.0): log10 S[Jy] = sum_i a_i (log10 nu[GHz])^i. 3C48, 3C138 and 3C147 vary by
# 2-3 % over years.
SPECTRA: dict[str, tuple[float, ...]] = {
    "3C48": (1.3253, -0.7553, -0.1914, 0.0498),
    "3C138": (1.0088, -0.4981, -0.1552, -0.0102, 0.0223),
    "3C147": (1.4516, -0.6961, -0.2007, 0.0640, -0.0464, 0.0289),
    "3C196": (1.2872, -0.8530, -0.1534, -0.0200, 0.0201),
    "3C286": (1.2481, -0.4507, -0.1798, 0.0357),
    "3C295": (1.4701, -0.7658, -0.2780, -0.0347, 0.0399),
}
UNMODELLED_JY = 1.5  # apparent flux needed where no catalogue gives the neighbours: their sum in the beam is 0.8 Jy rms
SPECTRA_HZ = 0.2e9, 50e9  # range that all of them cover
CATALOGUE_HZ = 1.45e9  # the manual's 20 cm band
_POWER_LAW_HZ = 1e9, 2e9  # range of that band's spectral indices
_COMPACT_CODES = "PS"  # closure errors up to 10 %
SEARCH_RADIUS_RAD = 0.1  # beyond the primary beam's first null at every frequency
_COORDINATE_NAME = re.compile(r"\d{4}[+-]\d{3,4}$")


def polynomial_flux_jy(coefficients: tuple[float, ...], freqs_hz: ArrayLike) -> NDArray[np.float64]:
    """Return the flux density of a spectrum in the form of Perley & Butler (2017, ApJS 230, 7).

    Parameters
    ----------
    coefficients : a0, a1, … of log10(S/Jy) = a0 + a1 x + a2 x² ..., x = log10(frequency/GHz).
    freqs_hz : frequencies, any shape.

    Returns
    -------
    Jy, the shape of `freqs_hz`.
    """
    log_ghz = np.log10(np.asarray(freqs_hz, dtype=np.float64) / 1e9)
    return np.asarray(10.0 ** np.polynomial.polynomial.polyval(log_ghz, coefficients))


def min_flux_jy(
    snr: float, antennas: int, channel_width_hz: float, exposure_s: float, sefd_jy: float = SEFD_JY
) -> float:  # fmt: skip
    """Return the apparent flux of a point source that gives gains of a signal to noise per channel and antenna.

    The noise of a baseline in one hand is SEFD / sqrt(2 bandwidth time) (Thompson, Moran & Swenson 2017,
    Interferometry and Synthesis in Radio Astronomy, equation 6.50); an antenna's gain rests on antennas - 1 of them.

    Parameters
    ----------
    snr : signal to noise of a gain.
    antennas : number of antennas with data.
    channel_width_hz, exposure_s : bandwidth and time of a solution.
    sefd_jy : system equivalent flux density of an antenna.

    Returns
    -------
    Jy; infinite with fewer than two antennas.
    """
    if antennas < 2:
        return float("inf")
    return float(snr * sefd_jy / np.sqrt(2.0 * channel_width_hz * exposure_s * (antennas - 1)))


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
        return FLUX_SCALE if self.alias in SPECTRA else "VLA calibrator manual"

    @property
    def usable(self) -> bool:
        """Whether the source is compact enough for this array: on the flux scale, or with code P or S."""
        return self.alias in SPECTRA or self.quality in _COMPACT_CODES

    def has_flux_at(self, freq_hz: float) -> bool:
        """Return whether the source's spectrum covers a frequency.

        Parameters
        ----------
        freq_hz : frequency.
        """
        low_hz, high_hz = SPECTRA_HZ if self.alias in SPECTRA else _POWER_LAW_HZ
        return low_hz <= freq_hz <= high_hz

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
        if self.alias in SPECTRA:
            return polynomial_flux_jy(SPECTRA[self.alias], freqs_hz)
        ratio = np.asarray(freqs_hz, dtype=np.float64) / CATALOGUE_HZ
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


@dataclass(frozen=True)
class Transit:
    """A calibrator on the meridian.

    Attributes
    ----------
    calibrator : the source.
    mjd : UTC, days.
    offset_rad : apparent declination less the telescope's, north positive.
    pb_response : response of the primary beam there, at mid-band.
    apparent_jy : flux density through the primary beam.
    seconds_in_beam : time for which the response stays above half of its maximum.
    """

    calibrator: Calibrator
    mjd: float
    offset_rad: float
    pb_response: float
    apparent_jy: float
    seconds_in_beam: float


def transits(
    day: date, declination_rad: float, min_pb_response: float, sources: Iterable[Calibrator] | None = None
) -> list[Transit]:
    """Return a day's transits through the primary beam, sorted by time.

    A source whose transit falls on both ends of the day (a sidereal day is four minutes shorter) is listed twice.

    Parameters
    ----------
    day : UTC.
    declination_rad : apparent declination that the telescope points at.
    min_pb_response : smallest response of the primary beam at the transit.
    sources : the catalogue when not given.
    """
    start_mjd = float(erfa.cal2jd(day.year, day.month, day.day)[1])
    passages = []
    for source in catalogue() if sources is None else sources:
        if abs(source.dec_rad - declination_rad) > SEARCH_RADIUS_RAD:
            continue
        mjd = _next_transit(source, start_mjd)
        while mjd < start_mjd + 1:
            passage = _transit(source, mjd, declination_rad)
            if passage.pb_response >= min_pb_response:
                passages.append(passage)
            mjd += SIDEREAL_DAY_S / DAY_S
    return sorted(passages, key=lambda passage: passage.mjd)


def _next_transit(source: Calibrator, start_mjd: float) -> float:
    """First time at or after `start_mjd` at which the hour angle is 0."""
    mjd = start_mjd
    for step in range(4):
        hour_angle, _ = _hour_angle(source, mjd)
        ahead = -hour_angle if step else (-hour_angle) % (2 * np.pi)
        mjd += ahead / (2 * np.pi) * SIDEREAL_DAY_S / DAY_S
    return mjd


def _hour_angle(source: Calibrator, mjd: float) -> tuple[float, float]:
    """Apparent hour angle in (-pi, pi] and declination, radians."""
    x, y, z = itrf_directions(TELESCOPE, np.array([mjd + MJD_ZERO_JD]), source.ra_rad, source.dec_rad)[0]
    hour_angle = (TELESCOPE.longitude_rad - np.arctan2(y, x) + np.pi) % (2 * np.pi) - np.pi
    return float(hour_angle), float(np.arcsin(z))


def _transit(source: Calibrator, mjd: float, declination_rad: float) -> Transit:
    _, apparent_rad = _hour_angle(source, mjd)
    offset = apparent_rad - declination_rad
    response = float(primary_beam(abs(offset), BAND.centre_hz))
    angles = np.linspace(0, SEARCH_RADIUS_RAD, 2000)
    track = primary_beam(np.hypot(offset, angles), BAND.centre_hz)
    half = float(angles[np.argmax(track < 0.5 * response)]) / np.cos(apparent_rad)
    return Transit(
        calibrator=source, mjd=mjd, offset_rad=offset, pb_response=response,
        apparent_jy=response * float(source.flux_jy(BAND.centre_hz)),
        seconds_in_beam=2 * half / (2 * np.pi) * SIDEREAL_DAY_S,
    )  # fmt: skip
