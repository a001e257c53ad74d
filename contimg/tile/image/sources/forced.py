"""An image against the reference catalogue: its sources measured at the catalogued positions."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from contimg.common.errors import BadInput
from contimg.sky.catalogue import Catalogue, CatalogueSources, open_catalogue
from contimg.sky.comparison.compare import compare_sources
from contimg.sky.comparison.matching import NEIGHBOUR_BEAMS, MatchedSources, Measurements, match_sources
from contimg.sky.comparison.result import SkyComparison
from contimg.tile.image.gridding.noise import measure_rms
from contimg.tile.image.sources.photometry import fit_beams, read_beam, read_image

FloatImage = NDArray[np.floating]
NOISE_CELLS = 16  # per side, in which the local noise is measured
SEARCH_BEAMS = 1.0  # radius around a catalogued position, major axes of the beam
DEGREES_RAD = np.pi / 180


def compare_fits(
    fits_path: Path, catalogue_path: Path, *, rms_map: FloatImage | None = None
) -> tuple[SkyComparison, MatchedSources]:
    """Compare a FITS image with the reference catalogue; see `compare_image`.

    Parameters
    ----------
    fits_path : an image of apparent fluxes; its primary beam is read from `.pb.fits` beside it. Without that file the
        fluxes are taken as true.
    catalogue_path : file of the catalogue.
    rms_map : local noise of the image, shape (y, x); None: measured in the image.

    Raises
    ------
    BadInput : the file is not a restored image, or its header has no frequency.
    """
    image, header = read_image(fits_path)
    pb_path = fits_path.with_name(fits_path.name.removesuffix(".fits") + ".pb.fits")
    pb = read_image(pb_path)[0] if pb_path.exists() else None
    return compare_image(image, pb, header, catalogue_path, rms_map=rms_map, name=str(fits_path))


def compare_image(
    image: FloatImage, pb: FloatImage | None, header: fits.Header, catalogue_path: Path, *,
    residual: FloatImage | None = None, rms_map: FloatImage | None = None, name: str = "the image",
) -> tuple[SkyComparison, MatchedSources]:  # fmt: skip
    """Measure the reference catalogue's sources in an image and compare them.

    Parameters
    ----------
    image, pb : image of apparent fluxes and primary beam, shape (y, x); a beam of None is 1 everywhere.
    header : celestial coordinates, frequency and synthesized beam of the image.
    catalogue_path : file of the catalogue.
    residual : in which the local noise is measured; None: in the image, whose sources hardly change it.
    rms_map : local noise, Jy per beam, shape (y, x); None: measured.
    name : of the image, in messages.

    Returns
    -------
    The numbers, and the sources that they come from. Positions are relative to the image's centre, east along its
    first axis.
    """
    beam, pixel_arcsec = read_beam(name, header)
    frequency_hz = read_frequency_hz(name, header)
    catalogue = open_catalogue(catalogue_path)
    wcs, shape = WCS(header).celestial, image.shape
    sources = _select_sources(catalogue, wcs, shape, NEIGHBOUR_BEAMS * beam.major_arcsec / 3600)
    positions = np.stack(wcs.all_world2pix(sources.ra_deg, sources.dec_deg, 0), axis=1).reshape(-1, 2)
    positions[_find_far_side(sources, wcs)] = np.nan
    peaks, fitted = fit_beams(image, positions, beam, pixel_arcsec, SEARCH_BEAMS * beam.major_arcsec / pixel_arcsec)
    steps_deg = wcs.wcs.cdelt
    offsets, from_centre = fitted - positions, positions - 0.5 * (np.array(shape[::-1]) - 1)
    measured = Measurements(
        apparent_jy=peaks, rms_jy=_sample(measure_local_rms(image if residual is None else residual), positions, shape)
        if rms_map is None else _sample(rms_map, positions, shape),
        pb=np.ones(len(peaks)) if pb is None else _sample(pb, fitted, shape),
        offset_east_arcsec=offsets[:, 0] * steps_deg[0] * 3600, offset_north_arcsec=offsets[:, 1] * steps_deg[1] * 3600,
        east_deg=from_centre[:, 0] * steps_deg[0], north_deg=from_centre[:, 1] * steps_deg[1],
    )  # fmt: skip
    beam_arcsec = beam.major_arcsec, beam.minor_arcsec
    matched = match_sources(measured, sources, frequency_hz, catalogue.flux_limit_jy, beam_arcsec)
    return compare_sources(matched, catalogue.name, catalogue.kind), matched


def measure_local_rms(image: FloatImage) -> NDArray[np.float64]:
    """Measure the noise from the median absolute deviation in cells of an image.

    Parameters
    ----------
    image : shape (y, x); blank pixels are left out.

    Returns
    -------
    shape (`NOISE_CELLS`, `NOISE_CELLS`); NaN in cells that are blank to more than a half.
    """
    noise = np.full((NOISE_CELLS, NOISE_CELLS), np.nan)
    for row, strip in enumerate(np.array_split(image, NOISE_CELLS, axis=0)):
        for column, cell in enumerate(np.array_split(strip, NOISE_CELLS, axis=1)):
            values = cell[np.isfinite(cell)]
            if 2 * values.size > cell.size:
                noise[row, column] = measure_rms(values)
    return noise


def read_frequency_hz(name: str, header: fits.Header) -> float:
    """Return the frequency of an image from its FREQ axis or RESTFRQ.

    Parameters
    ----------
    name : of the image, in messages.
    header : of the image.

    Raises
    ------
    BadInput : the header has neither.
    """
    for axis in range(1, header.get("NAXIS", 4) + 1):
        if str(header.get(f"CTYPE{axis}", "")).startswith("FREQ"):
            return float(header[f"CRVAL{axis}"])
    if "RESTFRQ" in header:
        return float(header["RESTFRQ"])
    raise BadInput(f"{name}: its header has no axis FREQ and no RESTFRQ; the catalogue needs the frequency")


def _select_sources(catalogue: Catalogue, wcs: WCS, shape: tuple[int, ...], margin_deg: float) -> CatalogueSources:
    """The catalogue's sources in the circle around an image, of any flux: faint ones may disturb their neighbours."""
    height, width = shape
    ra_deg, dec_deg = (float(value) for value in wcs.all_pix2world((width - 1) / 2, (height - 1) / 2, 0))
    sides_deg = np.abs(wcs.wcs.cdelt) * (width, height)
    cosines = min(1.0, 0.5 * float(np.hypot(*sides_deg)) * DEGREES_RAD)
    radius_deg = float(np.rad2deg(np.arcsin(cosines)))
    return catalogue.cone(ra_deg % 360, dec_deg, radius_deg + margin_deg)


def _find_far_side(sources: CatalogueSources, wcs: WCS) -> NDArray[np.bool_]:
    """Which sources are 90 degrees and more from the projection's centre, where SIN repeats."""
    ra, dec = np.deg2rad(wcs.wcs.crval)
    source_ra, source_dec = np.deg2rad(sources.ra_deg), np.deg2rad(sources.dec_deg)
    cosine = np.sin(dec) * np.sin(source_dec) + np.cos(dec) * np.cos(source_dec) * np.cos(source_ra - ra)
    return np.asarray(cosine <= 0)


def _sample(values: FloatImage, positions: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Interpolate an image, or the means of its cells, at pixels (x, y) of an image of a shape."""
    scale = np.array([size / cells for size, cells in zip(shape[::-1], values.shape[::-1], strict=True)])
    places = (positions + 0.5) / scale - 0.5
    is_known = np.isfinite(places).all(axis=1)
    sampled = np.full(len(positions), np.nan)
    sampled[is_known] = map_coordinates(
        np.asarray(values, dtype=np.float64), places[is_known, ::-1].T, order=1, mode="nearest"
    )
    return sampled
