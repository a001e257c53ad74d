"""Flux and position of a point source in an image: apparent, and corrected for the primary beam."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from contimg.common.errors import BadInput
from contimg.tile.image.deconvolution.restoring import evaluate_beam, quadratic_form
from contimg.tile.image.result import Beam

FIT_LEVEL = 0.5  # the fit uses the pixels where the beam, centred on the brightest one, is above this
FIT_STEPS = 12


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
    image, header = read_image(fits_path)
    pb_path = fits_path.with_name(fits_path.name.removesuffix(".fits") + ".pb.fits")
    pb = read_image(pb_path)[0] if pb_path.exists() else None
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
    beam, pixel_arcsec = read_beam(name, header)
    wcs = WCS(header).celestial
    requested = np.array(wcs.all_world2pix(ra_deg, dec_deg, 0), dtype=np.float64)
    peaks, positions = fit_beams(
        image, requested[None], beam, pixel_arcsec, search_beams * beam.major_arcsec / pixel_arcsec
    )
    apparent_jy, position = float(peaks[0]), positions[0]
    if not np.isfinite(apparent_jy):
        raise BadInput(f"{name}: {ra_deg:.5f} {dec_deg:.5f} deg is outside the image, or blank; give a position inside")
    ra, dec = (float(value) for value in wcs.all_pix2world(*position, 0))
    offset = position - requested
    pb_value = _interpolate(pb, position)
    return MeasuredSource(
        apparent_jy=apparent_jy, flux_jy=apparent_jy / pb_value, pb=pb_value, ra_deg=ra % 360, dec_deg=dec,
        offset_arcsec=float(np.hypot(*offset)) * pixel_arcsec, offset_beams=_in_beams(offset, beam, pixel_arcsec),
        rms_jy=float(header.get("RMS", np.nan)),
    )  # fmt: skip


def read_image(path: Path) -> tuple[NDArray[np.float64], fits.Header]:
    """Read a FITS image of one frequency and Stokes I, and its header.

    Parameters
    ----------
    path : the file; its first unit is read.

    Raises
    ------
    BadInput : the file cannot be read, or has no image of two axes.
    """
    try:
        with fits.open(path, memmap=False) as units:
            image, header = np.squeeze(units[0].data), units[0].header
    except OSError as error:
        raise BadInput(f"{path}: not a readable FITS image ({error}); image the tile again") from error
    if image.ndim != 2:
        raise BadInput(f"{path}: no image in its first unit; give a FITS image of one frequency and Stokes I")
    return np.asarray(image, dtype=np.float64), header


def read_beam(name: str, header: fits.Header) -> tuple[Beam, float]:
    """Return the synthesized beam and the size of a pixel, arcsec.

    Parameters
    ----------
    name : of the image, in messages.
    header : of the image.

    Raises
    ------
    BadInput : the header lacks one of them.
    """
    try:
        beam = Beam(header["BMAJ"] * 3600, header["BMIN"] * 3600, header["BPA"])
        return beam, abs(float(header["CDELT2"])) * 3600
    except KeyError:
        raise BadInput(f"{name}: not a restored image, its header lacks BMAJ, BMIN, BPA or CDELT2") from None


def fit_beams(
    image: NDArray[np.floating], positions: NDArray[np.float64], beam: Beam, pixel_arcsec: float, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a beam of free peak and position to the brightest pixel near each position, by Gauss-Newton steps.

    The fit uses the pixels in which the beam, centred on the brightest one, is above `FIT_LEVEL`.

    Parameters
    ----------
    image : shape (y, x).
    positions : x and y, pixels, shape (count, 2).
    beam, pixel_arcsec : the synthesized beam and the size of a pixel.
    radius : around each position in which the brightest pixel is searched, pixels, at least 1.

    Returns
    -------
    Peaks, shape (count,), in the unit of the image, and positions (x, y), shape (count, 2). NaN where the position is
    outside the image, a pixel is blank, or the fit leaves the pixels that it uses.
    """
    height, width = image.shape
    peaks, fitted = np.full(len(positions), np.nan), np.full((len(positions), 2), np.nan)
    with np.errstate(invalid="ignore"):
        inside = np.flatnonzero(((positions >= -0.5) & (positions < np.array([width, height]) - 0.5)).all(axis=1))
    if not inside.size:
        return peaks, fitted
    radius = max(radius, 1.0)
    steps_x, steps_y = _grid(int(np.ceil(radius)) + 1)
    centres = np.rint(positions[inside]).astype(int)
    columns, rows, values = _read_pixels(image, centres, steps_x, steps_y)
    distance = np.hypot(columns - positions[inside, :1], rows - positions[inside, 1:])
    brightest = np.where((distance <= radius) & np.isfinite(values), values, -np.inf).argmax(axis=1)
    centres = np.stack([steps_x[brightest], steps_y[brightest]], axis=1) + centres
    steps_x, steps_y = _grid(int(np.ceil(beam.major_arcsec / pixel_arcsec)) + 1)
    near = evaluate_beam(beam, pixel_arcsec, steps_x.astype(np.float64), steps_y.astype(np.float64)) > FIT_LEVEL
    steps_x, steps_y = steps_x[near], steps_y[near]
    columns, rows, values = _read_pixels(image, centres, steps_x, steps_y)
    is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    is_blank = (is_inside & ~np.isfinite(values)).any(axis=1)
    sources = _solve(np.where(is_inside, values, np.nan), steps_x, steps_y, beam, pixel_arcsec)
    is_lost = is_blank | (np.abs(sources[:, 1:]) > np.abs([steps_x, steps_y]).max(axis=1) + 1).any(axis=1)
    sources[is_lost] = np.nan
    peaks[inside], fitted[inside] = sources[:, 0], centres + sources[:, 1:]
    return peaks, fitted


def _solve(
    values: NDArray[np.float64], steps_x: NDArray[np.int64], steps_y: NDArray[np.int64], beam: Beam, pixel_arcsec: float
) -> NDArray[np.float64]:
    """Peaks and offsets from the middle pixel, shape (count, 3), that fit the values that are not NaN."""
    is_finite = np.isfinite(values)
    values, scale = np.where(is_finite, values, 0.0), np.nanmax(np.abs(values), axis=1, initial=1e-300, keepdims=True)
    xx, xy, yy = quadratic_form(beam, pixel_arcsec)
    sources = np.zeros((len(values), 3))
    sources[:, 0] = values.max(axis=1)
    for _ in range(FIT_STEPS):
        peak, x, y = (sources[:, k, None] for k in range(3))
        dx, dy = steps_x - x, steps_y - y
        model = evaluate_beam(beam, pixel_arcsec, dx, dy) * is_finite
        slopes = (2 * peak / scale * model * slope for slope in (xx * dx + xy * dy, xy * dx + yy * dy))
        jacobian = np.stack([model, *slopes], axis=-1)
        normal = np.swapaxes(jacobian, 1, 2) @ jacobian + 1e-12 * np.eye(3)
        residual = np.swapaxes(jacobian, 1, 2) @ ((values - peak * model) / scale)[..., None]
        step = np.linalg.solve(normal, residual)[..., 0]
        sources[:, :1] += step[:, :1] * scale
        sources[:, 1:] += np.clip(step[:, 1:], -1.0, 1.0)
    return sources


def _grid(reach: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets x and y of all pixels within a reach, each in one dimension."""
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return x.ravel(), y.ravel()


def _read_pixels(
    image: NDArray[np.floating], centres: NDArray[np.int64], steps_x: NDArray[np.int64], steps_y: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Columns, rows and values of the pixels around centres, shape (count, steps); NaN outside the image."""
    columns, rows = centres[:, :1] + steps_x, centres[:, 1:] + steps_y
    height, width = image.shape
    is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = image[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)].astype(np.float64)
    return columns, rows, np.where(is_inside, values, np.nan)


def _interpolate(pb: NDArray[np.floating] | None, position: NDArray[np.float64]) -> float:
    """The primary beam at a position (x, y), nan without one."""
    if pb is None:
        return float("nan")
    return float(map_coordinates(pb, position[::-1, None], order=1, mode="nearest")[0])


def _in_beams(offset: NDArray[np.float64], beam: Beam, pixel_arcsec: float) -> float:
    """A distance in pixels over the beam's full width along it: 0.5 on its half-maximum contour."""
    response = evaluate_beam(beam, pixel_arcsec, offset[:1], offset[1:])[0]
    return float(np.sqrt(-np.log(max(response, 1e-300)) / np.log(2)) / 2)
