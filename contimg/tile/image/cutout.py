"""Cut-outs of FITS images around a direction on the sky, as FITS images and as pictures."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import sin_deproject

MIN_PICTURE_PIXELS = 512  # a picture of fewer pixels is enlarged by a whole number


@dataclass(frozen=True)
class Cutout:
    """A part of a FITS image.

    Attributes
    ----------
    image : shape (rows, columns), y to the north, Jy/beam.
    header : of the image, with the reference pixel of the part.
    """

    image: NDArray[np.float32]
    header: fits.Header

    def to_fits(self) -> bytes:
        """Return the part as a FITS image with the axes of the whole image."""
        axes = (1,) * max(0, int(self.header["NAXIS"]) - 2)
        file = io.BytesIO()
        data = self.image.astype(">f4").reshape(*axes, *self.image.shape)
        fits.PrimaryHDU(data, self.header).writeto(file, checksum=True)
        return file.getvalue()

    def to_png(self, rms_jy: float, peak_jy: float) -> bytes:
        """Return the part as a PNG in the colours of the preview, north up; a blank pixel has the colour of zero.

        Parameters
        ----------
        rms_jy, peak_jy : noise and peak of the whole image, Jy/beam, which set the range of the colours.
        """
        return draw_png(self.image, rms_jy, peak_jy, MIN_PICTURE_PIXELS)


def draw_png(image: NDArray[np.float32], rms_jy: float, peak_jy: float, min_pixels: int) -> bytes:
    """Return an image as a PNG in the colours of the preview, north up; a blank pixel has the colour of zero.

    Parameters
    ----------
    image : shape (rows, columns), y to the north, Jy/beam.
    rms_jy, peak_jy : noise and peak, Jy/beam, which set the range of the colours.
    min_pixels : an image of fewer pixels is enlarged by a whole number.
    """
    from matplotlib import colormaps
    from PIL import Image

    from contimg.tile.image.plots.drawing import COLOURS, COMPRESSION, make_colour_scale

    levels = np.asarray(make_colour_scale(rms_jy, peak_jy)(np.nan_to_num(image)))
    factor = math.ceil(min_pixels / max(image.shape))
    enlarged = np.kron((levels[::-1] * 255).astype(np.uint8), np.ones((factor, factor), dtype=np.uint8))
    picture = Image.fromarray(enlarged)
    picture.putpalette((colormaps[COLOURS](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()


def cut_out(path: Path, ra_deg: float, dec_deg: float, size_deg: float) -> Cutout:
    """Cut the square around a direction out of a FITS image; beyond the image's edge it is cut off.

    Parameters
    ----------
    path : the FITS image.
    ra_deg, dec_deg : centre of the part, ICRS, degrees.
    size_deg : length of its sides, degrees.

    Raises
    ------
    BadInput : the file is no FITS image, or the direction lies outside it.
    """
    try:
        with fits.open(path, memmap=True) as hdus:
            header, shape = hdus[0].header.copy(), hdus[0].shape
            wcs = WCS(header).celestial
            x, y = (float(value) for value in wcs.world_to_pixel(SkyCoord(ra_deg, dec_deg, unit="deg", frame="icrs")))
            rows, columns = shape[-2:]
            if not (-0.5 <= x < columns - 0.5 and -0.5 <= y < rows - 0.5):
                raise BadInput(f"{path.name}: RA {ra_deg:g}, Dec {dec_deg:g} deg lies outside the image")
            half = 0.5 * size_deg / abs(float(wcs.wcs.cdelt[1]))  # pixels
            left, right = max(0, round(x - half)), min(columns, round(x + half) + 1)
            bottom, top = max(0, round(y - half)), min(rows, round(y + half) + 1)
            plane = (0,) * (len(shape) - 2)
            image = np.asarray(hdus[0].section[(*plane, slice(bottom, top), slice(left, right))], dtype=np.float32)
    except (OSError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInput(f"{path.name}: no FITS image: {error}") from None
    header["CRPIX1"] -= left
    header["CRPIX2"] -= bottom
    header["COMMENT"] = f"Cut out of {path.name}; RMS, PEAK and MINIMUM are of the whole image"
    return Cutout(image, header)


def resample_stamp(path: Path, ra_deg: float, dec_deg: float, size_deg: float, pixels: int) -> NDArray[np.float32]:
    """Return the square around a direction on a grid that is the same for every image, by linear interpolation.

    Parameters
    ----------
    path : the FITS image.
    ra_deg, dec_deg : centre of the square, ICRS, degrees.
    size_deg : length of its sides, degrees.
    pixels : number of pixels along a side.

    Returns
    -------
    ndarray, shape (pixels, pixels)
        Orthographic (SIN), y to the north and x to the west, Jy/beam; NaN outside the image and where it is blank.

    Raises
    ------
    BadInput : the file is no FITS image, or the direction lies outside it.
    """
    from scipy.ndimage import map_coordinates

    offsets = np.deg2rad(size_deg) * ((np.arange(pixels) + 0.5) / pixels - 0.5)
    west, north = np.meshgrid(offsets, offsets)
    centre_rad = np.deg2rad([ra_deg, dec_deg])
    towards_x, towards_y, towards_pole = np.moveaxis(sin_deproject(-west, north, centre_rad).reshape(-1, 3), -1, 0)
    ra, dec = np.rad2deg(np.arctan2(towards_y, towards_x)), np.rad2deg(np.arcsin(towards_pole))
    part = cut_out(path, ra_deg, dec_deg, 1.5 * size_deg)
    x, y = WCS(part.header).celestial.wcs_world2pix(ra, dec, 0)
    values = map_coordinates(part.image, [y, x], order=1, cval=np.nan, prefilter=False)
    stamp: NDArray[np.float32] = values.reshape(pixels, pixels).astype(np.float32)
    return stamp
