"""The sky of a run: 3C48, point sources of known fluxes around each target tile, and the sources of the counts.

For the counts, the sphere is divided into cells of one degree of declination and about one degree on the sky of right
ascension. Each cell has random numbers of its own, so a seed determines the whole sky, whatever part a run observes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from contimg.common.errors import Misconfigured
from contimg.instrument.calibrators import SPECTRA, polynomial_flux_jy
from contimg.instrument.coordinates import separation_rad
from contimg.instrument.dsa110 import BAND

FAINTEST_JY, BRIGHTEST_JY = 0.05, 1.0
PATCH_RADIUS_DEG = 0.8  # inside the beam's half power even while drifting
SEPARATION_DEG = 0.3  # some sixty synthesised beams
CALIBRATOR_SEPARATION_DEG = 0.6
TRIES = 2_000
POINT = (0.0, 0.0, 0.0)
STRONG_ANGLE_DEG = 40.0  # position angle of the strong source outside the field

# N(>S) per square degree at 1.4 GHz (NVSS above 2.5 mJy; Condon et al. 1998, AJ 115, 1693).
COUNTS_MJY = np.array([1.0, 2.5, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 3000.0])
COUNTS_PER_DEG2 = np.array([105.0, 52.0, 30.0, 17.6, 9.6, 4.0, 1.9, 0.8, 0.2, 0.065, 0.012])
INDEX_MEAN, INDEX_SCATTER = -0.7, 0.25
STRUCTURE_MJY = 10.0  # fainter sources are points
DOUBLE_FRACTION, RESOLVED_FRACTION = 0.06, 0.03
DOUBLE_ARCSEC, MAJOR_ARCSEC = (8.0, 60.0), (15.0, 45.0)
COUNTS_PREFIX = "C"  # of the names of the counts' sources
CLEAR_DEG = 2.5 / 60  # around sources that a run names
BRIGHTEST_NEIGHBOUR = 0.002  # of a named source's flux, inside CLEAR_DEG


@dataclass(frozen=True)
class Source:
    """A source without polarisation or proper motion: a point, or an elliptical Gaussian.

    Attributes
    ----------
    name : its name.
    ra_deg, dec_deg : ICRS.
    spectrum : coefficients a0, a1, … of log10(S/Jy) = a0 + a1 x + a2 x² ..., x = log10(frequency/GHz).
    shape : (major, minor, position angle): FWHM in arcsec, 0 for a point, and degrees from north through east.
    flux_factor : flux over the steady one; the spectrum includes it.
    """

    name: str
    ra_deg: float
    dec_deg: float
    spectrum: tuple[float, ...]
    shape: tuple[float, float, float] = POINT
    flux_factor: float = 1.0

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


def power_law(
    name: str, ra_deg: float, dec_deg: float, flux_jy: float, index: float = 0.0,
    shape: tuple[float, float, float] = POINT,
) -> Source:  # fmt: skip
    """Return a source with a flux at the band's centre and a spectral index (S ~ frequency**index).

    Parameters
    ----------
    name : of the source.
    ra_deg, dec_deg : ICRS.
    flux_jy : at the band's centre.
    index : spectral index.
    shape : see `Source`.
    """
    a0 = np.log10(flux_jy) - index * np.log10(BAND.centre_hz / 1e9)
    return Source(name, ra_deg, dec_deg, (float(a0), float(index)), shape)


def strong_source(centre: SkyCoord, flux_jy: float, radius_deg: float) -> Source:
    """Return a source at a distance from a tile's centre, outside the image when that is far enough.

    Parameters
    ----------
    centre : of the tile.
    flux_jy : at the band's centre.
    radius_deg : its distance.
    """
    position = centre.directional_offset_by(STRONG_ANGLE_DEG * units.deg, radius_deg * units.deg)
    return power_law("strong", float(position.ra.deg), float(position.dec.deg), flux_jy, -0.7)


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


def counts_sky(
    seed: int, faintest_mjy: float, centre: SkyCoord, radius_deg: float, named: Iterable[Source] = ()
) -> tuple[Source, ...]:
    """Return the sources within a radius of a position.

    Parameters
    ----------
    seed : of the run.
    faintest_mjy : fainter sources are left out.
    centre : of the tile.
    radius_deg : around the centre.
    named : sources next to which nothing is placed that would disturb their measurement.
    """
    middle, radius_rad = np.deg2rad([centre.ra.deg, centre.dec.deg]), np.deg2rad(radius_deg)
    cells = sorted(_cells_near(middle, radius_rad))
    sources = [source for cell in cells for source in _draw_cell(seed, *cell, faintest_mjy)]
    if not sources:
        return ()
    positions = np.deg2rad([[source.ra_deg, source.dec_deg] for source in sources])
    inside = separation_rad(positions, middle) <= radius_rad
    flux_jy = np.array([float(source.flux_jy(BAND.centre_hz)) for source in sources])
    for source in named:
        near = separation_rad(positions, np.deg2rad([source.ra_deg, source.dec_deg])) < np.deg2rad(CLEAR_DEG)
        inside &= ~(near & (flux_jy > BRIGHTEST_NEIGHBOUR * float(source.flux_jy(BAND.centre_hz))))
    return tuple(source for source, is_inside in zip(sources, inside, strict=True) if is_inside)


def _cells_in_band(band: int) -> int:
    """Number of cells around the sphere between `band` and `band` + 1 degrees of declination."""
    return max(1, round(360 * float(np.cos(np.deg2rad(band + 0.5)))))


def _cells_near(centre: NDArray[np.float64], radius: float) -> set[tuple[int, int]]:
    """Cells with a part within a radius of a position (radians), as (band, number in the band)."""
    reach = radius + np.deg2rad(1.5)  # a cell's corner is less than a degree from its middle
    dec_deg = np.rad2deg(centre[1])
    lowest, highest = (
        max(-90, int(np.floor(dec_deg - np.rad2deg(reach)))),
        min(90, int(dec_deg + np.rad2deg(reach)) + 1),
    )
    cells = set()
    for band in range(lowest, highest):
        count = _cells_in_band(band)
        ra = 2 * np.pi * (np.arange(count) + 0.5) / count
        middle = np.stack([ra, np.full(count, np.deg2rad(band + 0.5))], axis=-1)
        cells |= {(band, int(number)) for number in np.flatnonzero(separation_rad(middle, centre) <= reach)}
    return cells


def _draw_cell(seed: int, band: int, number: int, faintest_mjy: float) -> list[Source]:
    """Sources of a cell; every cell draws down to the faintest of the table, so that a cut changes nothing else."""
    rng = np.random.default_rng([seed, 7, band + 90, number])
    count = _cells_in_band(band)
    sines = np.sin(np.deg2rad([band, band + 1]))
    area_deg2 = np.rad2deg(np.rad2deg(2 * np.pi / count * (sines[1] - sines[0])))
    drawn = rng.poisson(COUNTS_PER_DEG2[0] * area_deg2)
    # The inverse of N(>S), logarithmically interpolated; above the last entry of the table there is nothing.
    density = COUNTS_PER_DEG2[0] * rng.random(drawn)
    flux_mjy = np.exp(np.interp(np.log(density), np.log(COUNTS_PER_DEG2[::-1]), np.log(COUNTS_MJY[::-1])))
    ra_deg = 360 * (number + rng.random(drawn)) / count
    dec_deg = np.rad2deg(np.arcsin(rng.uniform(sines[0], sines[1], drawn)))
    index = rng.normal(INDEX_MEAN, INDEX_SCATTER, drawn)
    structure, size, ratio, angle_deg = (
        rng.random(drawn),
        rng.random(drawn),
        rng.uniform(0.3, 1, drawn),
        rng.uniform(0, 180, drawn),
    )
    sources: list[Source] = []
    for i in np.flatnonzero(flux_mjy >= faintest_mjy):
        name = f"{COUNTS_PREFIX}{band + 90:03d}.{number:03d}.{i:03d}"
        arguments = (float(ra_deg[i]), float(dec_deg[i]), float(flux_mjy[i]) / 1e3, float(index[i]))
        shape = (float(size[i]), float(ratio[i]), float(angle_deg[i]))
        has_structure = flux_mjy[i] >= STRUCTURE_MJY
        if has_structure and structure[i] < DOUBLE_FRACTION:
            sources += _double(name, *arguments, *shape)
        elif has_structure and structure[i] < DOUBLE_FRACTION + RESOLVED_FRACTION:
            major = MAJOR_ARCSEC[0] + (MAJOR_ARCSEC[1] - MAJOR_ARCSEC[0]) * shape[0]
            sources.append(power_law(name, *arguments, shape=(major, major * shape[1], shape[2])))
        else:
            sources.append(power_law(name, *arguments))
    return sources


def _double(
    name: str, ra_deg: float, dec_deg: float, flux_jy: float, index: float, size: float, ratio: float, angle_deg: float
) -> list[Source]:
    """Two point sources with the flux of a source, about its position; `size` is 0 to 1, `ratio` that of the fluxes."""
    half_deg = 0.5 * (DOUBLE_ARCSEC[0] + (DOUBLE_ARCSEC[1] - DOUBLE_ARCSEC[0]) * size) / 3600
    east = half_deg * np.sin(np.deg2rad(angle_deg)) / np.cos(np.deg2rad(dec_deg))
    north = half_deg * np.cos(np.deg2rad(angle_deg))
    brighter = flux_jy / (1 + ratio)
    return [
        power_law(f"{name}{part}", (ra_deg + sign * float(east)) % 360, dec_deg + sign * float(north), flux, index)
        for part, sign, flux in (("a", 1, brighter), ("b", -1, flux_jy - brighter))
    ]
