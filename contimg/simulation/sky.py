"""The sky of a run: 3C48, and point sources of known fluxes and spectra around each target tile."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from contimg.errors import Misconfigured
from contimg.instrument.calibrators import SPECTRA, polynomial_flux_jy
from contimg.instrument.dsa110 import BAND, primary_beam

FAINTEST_JY, BRIGHTEST_JY = 0.05, 1.0
PATCH_RADIUS_DEG = 0.8  # inside the beam's half power even while drifting
SEPARATION_DEG = 0.3  # some sixty synthesised beams
CALIBRATOR_SEPARATION_DEG = 0.6
TRIES = 2_000


@dataclass(frozen=True)
class Source:
    """A point source without polarisation or proper motion.

    Attributes
    ----------
    name : its name.
    ra_deg, dec_deg : ICRS.
    spectrum : coefficients a0, a1, … of log10(S/Jy) = a0 + a1 x + a2 x² ..., x = log10(frequency/GHz).
    """

    name: str
    ra_deg: float
    dec_deg: float
    spectrum: tuple[float, ...]

    def flux_jy(self, freqs_hz: ArrayLike) -> NDArray[np.float64]:
        """Return the flux density outside the primary beam.

        Parameters
        ----------
        freqs_hz : frequencies, any shape.

        Returns
        -------
        Jy, the shape of `freqs_hz`: the polynomial of `spectrum`, the form of Perley & Butler (2017, ApJS 230, 7).
        """
        return polynomial_flux_jy(self.spectrum, freqs_hz)


# Position: ICRF.
CALIBRATOR = Source("3C48", 24.422080962, 33.159759164, SPECTRA["3C48"])


def power_law(name: str, ra_deg: float, dec_deg: float, flux_jy: float, index: float = 0.0) -> Source:
    """Return a source with a flux at the band's centre and a spectral index (S ~ frequency**index).

    Parameters
    ----------
    name : of the source.
    ra_deg, dec_deg : ICRS.
    flux_jy : at the band's centre.
    index : spectral index.
    """
    a0 = np.log10(flux_jy) - index * np.log10(BAND.centre_hz / 1e9)
    return Source(name, ra_deg, dec_deg, (float(a0), float(index)))


def target_sky(centres: Sequence[SkyCoord], per_tile: int, rng: Generator) -> tuple[Source, ...]:
    """Draw sources of 0.05 to 1 Jy around each tile's centre, far enough apart to be measured separately.

    Parameters
    ----------
    centres : of the tiles.
    per_tile : sources around each.
    rng : to draw from.

    Raises
    ------
    Misconfigured : so many sources do not fit.
    """
    calibrator = SkyCoord(CALIBRATOR.ra_deg * units.deg, CALIBRATOR.dec_deg * units.deg, frame="icrs")
    placed: list[NDArray[np.float64]] = []
    sources = []
    for centre in centres:
        positions = _free_positions(centre, per_tile, calibrator, placed, rng)
        # One flux from each equal part of the logarithmic range, so that every tile has faint and bright sources.
        part = (rng.permutation(per_tile) + rng.random(per_tile)) / max(per_tile, 1)
        fluxes_jy = FAINTEST_JY * (BRIGHTEST_JY / FAINTEST_JY) ** part
        indices = rng.normal(-0.7, 0.2, per_tile)
        for position, flux_jy, index in zip(positions, fluxes_jy, indices, strict=True):
            ra_deg, dec_deg = float(position.ra.deg), float(position.dec.deg)
            sources.append(power_law(_name(position), ra_deg, dec_deg, float(flux_jy), float(index)))
    return tuple(sources)


def _free_positions(
    centre: SkyCoord, count: int, calibrator: SkyCoord, placed: list[NDArray[np.float64]], rng: Generator
) -> list[SkyCoord]:
    """Random positions around a centre, distant from each other and from `placed`, to which they are added."""
    offsets_deg = PATCH_RADIUS_DEG * np.sqrt(rng.random(TRIES))
    candidates = centre.directional_offset_by(rng.uniform(0, 360, TRIES) * units.deg, offsets_deg * units.deg)
    candidates = candidates[candidates.separation(calibrator).deg > CALIBRATOR_SEPARATION_DEG]
    min_chord = 2 * np.sin(0.5 * np.deg2rad(SEPARATION_DEG))
    chosen: list[SkyCoord] = []
    for candidate, vector in zip(candidates, candidates.cartesian.xyz.value.T, strict=True):
        if len(chosen) == count:
            break
        if all(np.linalg.norm(vector - earlier) > min_chord for earlier in placed):
            placed.append(vector)
            chosen.append(candidate)
    if len(chosen) < count:
        raise Misconfigured(
            f"--sources={count}: too many for a tile at {SEPARATION_DEG} deg from each other; give fewer"
        )
    return chosen


def _name(position: SkyCoord) -> str:
    return "J" + str(position.to_string("hmsdms", sep="", precision=0)).replace(" ", "")


def beam_response(beam: str, separation_rad: ArrayLike, freqs_hz: ArrayLike) -> NDArray[np.float64]:
    """Return the power response of the primary beam `airy` or `uniform`, broadcast over separations and frequencies.

    Parameters
    ----------
    beam : `airy` or `uniform`.
    separation_rad : from the pointing; broadcasts against `freqs_hz`.
    freqs_hz : frequencies.
    """
    if beam == "uniform":
        return np.ones(np.broadcast_shapes(np.shape(separation_rad), np.shape(freqs_hz)))
    return primary_beam(separation_rad, freqs_hz)
