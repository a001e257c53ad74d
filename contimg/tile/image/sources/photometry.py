"""Flux and position of a point source in an image: apparent, and corrected for the primary beam."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares

from contimg.common.errors import BadInput
from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam

FIT_LEVEL = 0.5  # the fit uses the pixels where the beam, centred on the brightest one, is above this


@dataclass(frozen=True)
class MeasuredSource:
    """A point source as an image shows it.

    Attributes
    ----------
    apparent_jy : peak of the beam fitted to it, Jy per beam.
    flux_jy : the same over the primary beam; nan without a primary beam.
    pb : the primary beam at its position; nan without a primary beam.
    ra_deg, dec_deg : fitted position, ICRS.
    offset_arcsec : distance from the requested position.
    offset_beams : the same over the full width of the synthesized beam in that direction.
    rms_jy : noise of the image (keyword RMS); nan without the keyword.
    """

    apparent_jy: float
    flux_jy: float
    pb: float
    ra_deg: float
    dec_deg: float
    offset_arcsec: float
    offset_beams: float
    rms_jy: float


def measure_source(fits_path: Path, ra_deg: float, dec_deg: float, search_beams: float = 1.0) -> MeasuredSource:
    """Fit the synthesized beam to the brightest pixel near a position of a FITS image.

    Parameters
    ----------
    fits_path : the image; its primary beam is read from `.pb.fits` beside it.
    ra_deg, dec_deg : position, ICRS.
    search_beams : radius around the position, major axes of the beam.

    Raises
    ------
    BadInput : the position is outside the image, or the file is not a restored image.
    """
    image, header = _read_image(fits_path)
    pb_path = fits_path.with_name(fits_path.name.removesuffix(".fits") + ".pb.fits")
    pb = _read_image(pb_path)[0] if pb_path.exists() else None
    return measure_in_image(image, pb, header, ra_deg, dec_deg, search_beams, str(fits_path))


def measure_in_image(
    image: NDArray[np.floating], pb: NDArray[np.floating] | None, header: fits.Header, ra_deg: float, dec_deg: float,
    search_beams: float = 1.0, name: str = "the image",
) -> MeasuredSource:  # fmt: skip
    """Fit the synthesized beam as `measure_source` does, to an image in memory.

    Parameters
    ----------
    image, pb : apparent image and primary beam, shape (y, x).
    header : celestial coordinates and synthesized beam of the image.
    ra_deg, dec_deg, search_beams : position (ICRS) and radius.
    name : of the image, in messages.
    """
    beam, pixel_arcsec = _read_beam(name, header)
    wcs = WCS(header).celestial
    requested = np.array(wcs.all_world2pix(ra_deg, dec_deg, 0), dtype=np.float64)
    brightest = _find_brightest(image, requested, search_beams * beam.major_arcsec / pixel_arcsec)
    if brightest is None:
        raise BadInput(f"{name}: {ra_deg:.5f} {dec_deg:.5f} deg is outside the image; give a position inside")
    apparent_jy, position = _fit(image, brightest, beam, pixel_arcsec)
    ra, dec = (float(value) for value in wcs.all_pix2world(*position, 0))
    offset = position - requested
    pb_value = _interpolate(pb, position)
    return MeasuredSource(
        apparent_jy=apparent_jy, flux_jy=apparent_jy / pb_value, pb=pb_value, ra_deg=ra % 360, dec_deg=dec,
        offset_arcsec=float(np.hypot(*offset)) * pixel_arcsec, offset_beams=_in_beams(offset, beam, pixel_arcsec),
        rms_jy=float(header.get("RMS", np.nan)),
    )  # fmt: skip


def _read_image(path: Path) -> tuple[NDArray[np.float64], fits.Header]:
    try:
        with fits.open(path, memmap=False) as units:
            image, header = np.squeeze(units[0].data), units[0].header
    except OSError as error:
        raise BadInput(f"{path}: not a readable FITS image ({error}); image the tile again") from error
    if image.ndim != 2:
        raise BadInput(f"{path}: no image in its first unit; give a FITS image of one frequency and Stokes I")
    return np.asarray(image, dtype=np.float64), header


def _read_beam(name: str, header: fits.Header) -> tuple[Beam, float]:
    try:
        beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
        return beam, abs(float(header["CDELT2"])) * 3600
    except KeyError:
        raise BadInput(f"{name}: not a restored image, its header lacks BMAJ, BMIN, BPA or CDELT2") from None


def _find_brightest(
    image: NDArray[np.floating], centre: NDArray[np.float64], radius: float
) -> NDArray[np.float64] | None:
    """The brightest pixel (x, y) within a radius (pixels) of a position, or None when that is outside the image."""
    height, width = image.shape
    if not (np.isfinite(centre).all() and -0.5 <= centre[0] < width - 0.5 and -0.5 <= centre[1] < height - 0.5):
        return None
    radius = max(radius, 1.0)
    left, low = (max(0, int(value - radius)) for value in centre)
    cutout = image[low : int(centre[1] + radius) + 2, left : int(centre[0] + radius) + 2]
    y, x = np.indices(cutout.shape, sparse=True)
    near = (x + left - centre[0]) ** 2 + (y + low - centre[1]) ** 2 <= radius**2
    row, column = np.unravel_index(int(np.where(near, cutout, -np.inf).argmax()), cutout.shape)
    return np.array([column + left, row + low], dtype=np.float64)


def _fit(
    image: NDArray[np.floating], brightest: NDArray[np.float64], beam: Beam, pixel_arcsec: float
) -> tuple[float, NDArray[np.float64]]:
    """Peak and position (x, y) of the beam that fits the pixels around the brightest one."""
    reach = int(np.ceil(beam.major_arcsec / pixel_arcsec)) + 1
    left, low = (max(0, int(value) - reach) for value in brightest)
    cutout = image[low : int(brightest[1]) + reach + 1, left : int(brightest[0]) + reach + 1].astype(np.float64)
    y, x = np.indices(cutout.shape, sparse=True)
    x, y = x + left, y + low
    near = evaluate_beam(beam, pixel_arcsec, x - brightest[0], y - brightest[1]) > FIT_LEVEL
    rows, columns = np.nonzero(near)
    values, x, y = cutout[near], columns + left, rows + low
    peak = values.max()

    def misfit(source: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(source[0] * evaluate_beam(beam, pixel_arcsec, x - source[1], y - source[2]) - values / peak)

    fit = least_squares(misfit, np.array([1.0, *brightest])).x
    return float(fit[0] * peak), fit[1:]


def _interpolate(pb: NDArray[np.floating] | None, position: NDArray[np.float64]) -> float:
    """The primary beam at a position (x, y), nan without one."""
    if pb is None:
        return float("nan")
    return float(map_coordinates(pb, position[::-1, None], order=1, mode="nearest")[0])


def _in_beams(offset: NDArray[np.float64], beam: Beam, pixel_arcsec: float) -> float:
    """A distance in pixels over the beam's full width along it: 0.5 on its half-maximum contour."""
    response = evaluate_beam(beam, pixel_arcsec, offset[:1], offset[1:])[0]
    return float(np.sqrt(-np.log(max(response, 1e-300)) / np.log(2)) / 2)
