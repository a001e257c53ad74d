"""A mosaic as the HiPS reads it: mapped into memory, and interpolated at the pixels of a tile.

Values come from a cubic B-spline through the mosaic's pixels (Unser 1999, IEEE Signal Process. Mag. 16, 22), weights
are linear between pixels; a pixel of the tile with a blank pixel of the mosaic beside it is blank.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.ndimage import spline_filter

from contimg.common.errors import BadFile
from contimg.epoch.hips.geometry import TILE_PIXELS, tile_directions
from contimg.epoch.mosaic.reprojection import spline_weights

_MARGIN = 12  # pixels around a cutout: the spline's prefilter decays by 0.27 per pixel
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class MosaicImage:
    """An open mosaic.

    Attributes
    ----------
    path : of the FITS file.
    digest : of the pixels of flux and weight, and of their coordinates.
    header : of the FITS file.
    wcs : celestial coordinates.
    flux, weight : memory maps, Jy per beam and 1/Jy², shape (rows, columns).
    """

    path: Path
    digest: str
    header: fits.Header
    wcs: WCS
    flux: NDArray[np.float32]
    weight: NDArray[np.float32]

    @property
    def name(self) -> str:
        """Its file without `.fits`."""
        return self.path.name.removesuffix(".fits")

    @property
    def cell_arcsec(self) -> float:
        """Size of a pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.wcs.pixel_scale_matrix))) * 3600)


def weight_path(mosaic: Path) -> Path:
    """Return the file with the weights of a mosaic.

    Parameters
    ----------
    mosaic : `NAME.fits`.
    """
    return mosaic.with_name(f"{mosaic.name.removesuffix('.fits')}.weight.fits")


def open_mosaic(path: Path) -> MosaicImage:
    """Open a mosaic and its weights.

    Parameters
    ----------
    path : `NAME.fits`.

    Raises
    ------
    BadFile : a file is missing, is no FITS image, or the two differ in shape.
    """
    (flux, header), (weight, weight_header) = _open(path), _open(weight_path(path))
    wcs = WCS(header).celestial
    if wcs.naxis != 2:
        raise BadFile(path, "no celestial coordinates in its header; give a mosaic of `contimg mosaic`")
    if flux.shape != weight.shape:
        raise BadFile(weight_path(path), f"{weight.shape} pixels, and its mosaic has {flux.shape}; make both again")
    digests = [_digest(data, keys) for data, keys in ((flux, header), (weight, weight_header))]
    digest = "-".join((*digests, str(zlib.crc32(wcs.to_header_string().encode()))))
    return MosaicImage(path, digest, header, wcs, flux, weight)


def _open(path: Path) -> tuple[NDArray[np.float32], fits.Header]:
    try:
        with fits.open(path, memmap=True, lazy_load_hdus=True) as units:
            data, header = units[0].data, units[0].header
            if data is None or data.ndim < 2:
                raise BadFile(path, "no image in its first unit; give a mosaic of `contimg mosaic`")
            return data.reshape(data.shape[-2:]), header
    except FileNotFoundError:
        raise BadFile(path, "not on disk; make the mosaic again with `contimg epochs retry`") from None
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(path, f"cannot be read as FITS ({error}); make the mosaic again") from None


def _digest(data: NDArray[np.float32], header: fits.Header) -> str:
    return str(header.get("DATASUM") or zlib.crc32(data.tobytes()))


def resample(mosaic: MosaicImage, order: int, npix: int) -> tuple[Plane, Plane] | None:
    """Interpolate a mosaic at the pixels of a tile.

    Parameters
    ----------
    mosaic : the mosaic.
    order, npix : the tile.

    Returns
    -------
    fluxes, NaN where blank, and weights, 0 there; shape (512, 512), rows as in FITS. None where all is blank.
    """
    ra, dec = tile_directions(order, npix)
    rows, columns = mosaic.flux.shape
    x, y = mosaic.wcs.wcs_world2pix(np.stack([ra.reshape(-1), dec.reshape(-1)], axis=-1), 0).T
    inside = (x >= 0) & (y >= 0) & (x <= columns - 1) & (y <= rows - 1)  # False for NaN
    if not inside.any():
        return None
    low = np.maximum(np.floor([y[inside].min(), x[inside].min()]).astype(int) - _MARGIN, 0)
    high = np.minimum(np.ceil([y[inside].max(), x[inside].max()]).astype(int) + _MARGIN + 1, [rows, columns])
    cutout = slice(low[0], high[0]), slice(low[1], high[1])
    image, weight = (plane[cutout].astype(np.float32) for plane in (mosaic.flux, mosaic.weight))
    weight[~np.isfinite(image)] = 0
    if not (weight > 0).any() or min(image.shape) < 2:
        return None
    coefficients = spline_filter(np.where(weight > 0, image, 0), order=3, output=np.float32, mode="mirror")
    values, weights = (np.empty(TILE_PIXELS**2, dtype=np.float32) for _ in range(2))
    _interpolate(values, weights, coefficients, weight, x - low[1], y - low[0])
    if not weights.any():
        return None
    return values.reshape(ra.shape), weights.reshape(ra.shape)


@numba.njit(cache=True, nogil=True)
def _interpolate(values: Any, weights: Any, coefficients: Any, weight: Any, x: Any, y: Any) -> None:
    rows, columns = weight.shape
    for pixel in range(values.size):
        values[pixel], weights[pixel] = np.nan, 0.0
        if not (0 <= x[pixel] <= columns - 1 and 0 <= y[pixel] <= rows - 1):  # also NaN
            continue
        left, low = min(int(x[pixel]), columns - 2), min(int(y[pixel]), rows - 2)
        corner = weight[low : low + 2, left : left + 2]
        if min(corner[0, 0], corner[0, 1], corner[1, 0], corner[1, 1]) <= 0:
            continue
        u, v = x[pixel] - left, y[pixel] - low
        weights_x, weights_y = spline_weights(u), spline_weights(v)
        value = 0.0
        for j in range(4):
            row = low - 1 + j
            row = -row if row < 0 else row if row < rows else 2 * rows - 2 - row
            for i in range(4):
                column = left - 1 + i
                column = -column if column < 0 else column if column < columns else 2 * columns - 2 - column
                value += weights_y[j] * weights_x[i] * coefficients[row, column]
        values[pixel] = value
        weights[pixel] = (1 - v) * ((1 - u) * corner[0, 0] + u * corner[0, 1]) + v * (
            (1 - u) * corner[1, 0] + u * corner[1, 1]
        )
