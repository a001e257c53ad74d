"""Pixels of FITS images: single values, and parts of an image averaged over the area of each pixel of a screen.

The viewer of images and that of mosaics request them: `send_pixels` and `read_values` answer.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from flask import Response, request
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from contimg.common.errors import BadInput
from web.http.errors import RequestError
from web.http.parameters import FiniteFloat, Parameters
from web.pages.layout import parse_query

Pixels = NDArray[np.float32]
# What the viewer needs of a header (Calabretta & Greisen 2002, A&A 395, 1077); an absent keyword has its default there.
WCS_KEYWORDS = (
    *(f"{keyword}{axis}" for keyword in ("CTYPE", "CRPIX", "CRVAL", "CDELT") for axis in (1, 2)),
    "PV2_1", "PV2_2", "LONPOLE",
)  # fmt: skip
FLOAT = -32  # BITPIX
MAX_SIDE = 2048
PROJECTIONS = {("RA---SIN", "DEC--SIN"), ("RA---ZEA", "DEC--ZEA")}
"""The projections that the viewer has."""


class PixelRegion(Parameters):
    """A part of a layer, in pixels of the image from its lower left corner, and the size at which it is shown."""

    layer: str = Field("image", max_length=16)
    x: FiniteFloat = Field(0.0, ge=0, le=1e5)
    y: FiniteFloat = Field(0.0, ge=0, le=1e5)
    width: FiniteFloat = Field(gt=0, le=1e5)
    height: FiniteFloat = Field(gt=0, le=1e5)
    columns: int = Field(ge=1, le=MAX_SIDE)
    rows: int = Field(ge=1, le=MAX_SIDE)


class PixelPosition(Parameters):
    """A pixel, counted from 0 at the lower left."""

    x: int = Field(ge=0, le=100_000)
    y: int = Field(ge=0, le=100_000)


@dataclass(frozen=True)
class Region:
    """A part of an image and the size at which it is shown.

    Attributes
    ----------
    x, y, width, height : in pixels of the image, from its lower left corner; fractions of pixels count.
    columns, rows : of the screen; not more than pixels of the image.
    """

    x: float
    y: float
    width: float
    height: float
    columns: int
    rows: int


@dataclass(frozen=True)
class FitsPlane:
    """First plane of a FITS image on disk.

    Attributes
    ----------
    path : the file.
    offset : of the first pixel in the file, bytes.
    rows, columns : pixels.
    wcs : the keywords of `WCS_KEYWORDS` that the header has.
    """

    path: Path
    offset: int
    rows: int
    columns: int
    wcs: dict[str, str | float]

    def value(self, x: int, y: int) -> float | None:
        """Return a pixel; None outside the image and where it is blank.

        Parameters
        ----------
        x, y : counted from 0 at the lower left.
        """
        if not (0 <= x < self.columns and 0 <= y < self.rows):
            return None
        value = float(self._map()[y, x])
        return value if math.isfinite(value) else None

    def average(self, region: Region) -> Pixels:
        """Return the mean over the area of each pixel of the screen, shape (rows, columns), the upper row first.

        A pixel of the image that lies in several pixels of the screen counts in each by the area inside it, so that
        no pattern arises from the two grids. One that is blank leaves them blank.

        Parameters
        ----------
        region : the part of the image.

        Raises
        ------
        RequestError, 400, when the region leaves the image or is shown with more pixels than it has.
        """
        if region.x + region.width > self.columns or region.y + region.height > self.rows:
            size = f"{self.columns} × {self.rows} pixels"
            raise RequestError(400, f"region: leaves the image of {size}", "choose x, y, width, height within it")
        if region.columns > region.width or region.rows > region.height:
            size = f"{region.width:g} × {region.height:g}"
            raise RequestError(400, f"columns, rows: above the {size} pixels of the region", "show at most these")
        bottom, left = math.floor(region.y), math.floor(region.x)
        top, right = math.ceil(region.y + region.height), math.ceil(region.x + region.width)
        image = self._map()[bottom:top, left:right].astype(np.float32)
        if image.shape != (region.rows, region.columns):
            over_y = _area_weights(region.y - bottom, region.height / region.rows, region.rows, top - bottom)
            over_x = _area_weights(region.x - left, region.width / region.columns, region.columns, right - left)
            image = (over_x @ np.ascontiguousarray((over_y @ image).T)).T
        return image[::-1]

    def _map(self) -> NDArray[np.float32]:
        """Map the pixels into memory; products are replaced by renaming, so that a mapped file stays whole."""
        return np.memmap(self.path, ">f4", "r", self.offset, (self.rows, self.columns))


def open_plane(path: Path) -> FitsPlane:
    """Return the first plane of a FITS image; its header is read once for each version of the file.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    BadInput : the file is no image of 32-bit floats, or is shorter than its header states.
    """
    stat = path.stat()
    return _read_header(path, stat.st_mtime_ns, stat.st_size)


def send_pixels(find_plane: Callable[[str], FitsPlane]) -> Response:
    """Send the part of a layer that the request names, as `encode_bfloat16`, the upper row first.

    Parameters
    ----------
    find_plane : opens the plane of a layer by its name.

    Raises
    ------
    RequestError, 400, as of `FitsPlane.average`.
    """
    query = parse_query(PixelRegion)
    plane = find_plane(query.layer)
    response = Response(mimetype="application/octet-stream")
    stat = plane.path.stat()
    response.set_etag(f"{stat.st_mtime_ns:x}-{stat.st_size:x}")
    response.headers["Cache-Control"] = "private, no-cache"  # a product may be made again under the same name
    if response.make_conditional(request).status_code != 304:
        response.data = encode_bfloat16(plane.average(Region(**query.model_dump(exclude={"layer"}))))
    return response


def read_values(paths: Mapping[str, Path | None]) -> dict[str, float | None]:
    """Read the value of every layer at the pixel that the request names; None where it is blank.

    Parameters
    ----------
    paths : file of each layer; None for one that there is not.
    """
    query = parse_query(PixelPosition)
    return {name: open_plane(path).value(query.x, query.y) if path else None for name, path in paths.items()}


def open_viewed(path: Path) -> FitsPlane:
    """Return the first plane of a FITS image whose coordinates the viewer can draw.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    BadInput : as of `open_plane`, or another projection.
    """
    plane = open_plane(path)
    if (plane.wcs.get("CTYPE1"), plane.wcs.get("CTYPE2")) not in PROJECTIONS:
        raise BadInput(f"{plane.path.name}: no image in the SIN or ZEA projection; the viewer has no other")
    return plane


@lru_cache(maxsize=64)
def _read_header(path: Path, _mtime_ns: int, size: int) -> FitsPlane:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=True) as hdus:
            header, offset = hdus[0].header, int(hdus[0].fileinfo()["datLoc"])
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path.name}: no FITS image: {error}") from None
    columns, rows = (int(header.get(f"NAXIS{axis}", 0)) for axis in (1, 2))
    if header["BITPIX"] != FLOAT or not columns * rows:
        raise BadInput(f"{path.name}: no image of 32-bit floats (BITPIX {header['BITPIX']}, {columns} × {rows})")
    if offset + 4 * columns * rows > size:
        raise BadInput(f"{path.name}: truncated: {size} bytes; make the image again")
    return FitsPlane(path, offset, rows, columns, {key: header[key] for key in WCS_KEYWORDS if key in header})


def encode_bfloat16(values: Pixels) -> bytes:
    """Encode values as bfloat16, little-endian: the upper halves of 32-bit floats, rounded, exact to 0.2 %.

    Parameters
    ----------
    values : any shape; NaN stays NaN.
    """
    words = np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)  # rounding would overflow some NaN
    return ((words + np.uint32(0x8000)) >> np.uint32(16)).astype("<u2").tobytes()


def _area_weights(start: float, step: float, count: int, size: int) -> csr_array:
    """Return the weights of `size` pixels in the means over `count` intervals of length `step`, shape (count, size)."""
    edges = start + step * np.arange(count + 1)
    pixels = np.floor(edges[:-1]).astype(np.int32)[:, None] + np.arange(math.ceil(step) + 1, dtype=np.int32)
    overlap = np.minimum(pixels + 1, edges[1:, None]) - np.maximum(pixels, edges[:-1, None])
    weights = np.maximum(overlap, 0).astype(np.float32) / np.float32(step)
    ends = np.arange(count + 1) * pixels.shape[1]
    matrix = csr_array((weights.ravel(), np.minimum(pixels, size - 1).ravel(), ends), shape=(count, size))
    matrix.eliminate_zeros()  # a blank pixel beside an interval would blank its mean
    return matrix
