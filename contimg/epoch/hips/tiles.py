"""Files of HiPS tiles: FITS with weights and the mosaics in it, PNG in colours, and the tiles above.

The FITS file of a tile of the deepest order is the record of its state: fluxes in its first unit, which is all that sky
viewers read, weights in the unit WEIGHT, and the name and digest of each mosaic in the table MOSAICS.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from matplotlib import colormaps
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from PIL import Image

from contimg.common.files.staging import disk_errors, staged
from contimg.epoch.hips.geometry import MIN_ORDER, TILE_PIXELS, nested_offsets
from contimg.epoch.hips.mosaic_image import Plane
from contimg.tile.image.plots import drawing

ALLSKY_PIXELS, ALLSKY_COLUMNS = 64, 27
_ALLSKY_TILES = 12 * 4**MIN_ORDER
_ALLSKY_SHAPE = -(-_ALLSKY_TILES // ALLSKY_COLUMNS) * ALLSKY_PIXELS, ALLSKY_COLUMNS * ALLSKY_PIXELS
_BYTES = 3 * 4 * TILE_PIXELS**2
_ROUNDING = 1e-5  # part of a pixel's weight below which nothing is left of it


@dataclass
class Tile:
    """A tile of the deepest order: fluxes and weights, rows as in FITS, and the digest of each mosaic, by its name."""

    flux: Plane
    weight: Plane
    mosaics: dict[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> "Tile":
        """Return a tile without a mosaic."""
        shape = TILE_PIXELS, TILE_PIXELS
        return cls(np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.float32))

    def add(self, flux: Plane, weight: Plane) -> None:
        """Add fluxes to the mean.

        Parameters
        ----------
        flux, weight : of a mosaic at the pixels of this tile; weight 0 where blank.
        """
        total = self.weight + weight
        is_covered = weight > 0
        before = np.where(self.weight > 0, self.flux, 0)[is_covered]
        self.flux[is_covered] = before + (flux[is_covered] - before) * (weight[is_covered] / total[is_covered])
        self.weight = total

    def subtract(self, flux: Plane, weight: Plane) -> None:
        """Take fluxes out of the mean that were added to it.

        Parameters
        ----------
        flux, weight : as they were added.
        """
        total = self.weight.astype(np.float64)
        left = total - weight
        is_left = left > _ROUNDING * total
        summed = np.where(total > 0, self.flux, 0) * total - np.where(weight > 0, flux, 0) * weight
        mean = np.divide(summed, left, out=np.full(left.shape, np.nan), where=is_left)
        is_covered = weight > 0
        self.flux = np.where(is_covered, mean, self.flux).astype(np.float32)
        self.weight = np.where(is_left, left, 0).astype(np.float32)


def tile_path(directory: Path, order: int, npix: int, ending: str = "fits") -> Path:
    """Return the path of a tile.

    Parameters
    ----------
    directory : of the HiPS.
    order, npix : the tile.
    ending : `fits` or `png`.
    """
    return directory / f"Norder{order}" / f"Dir{npix // 10000 * 10000}" / f"Npix{npix}.{ending}"


def read_tile(directory: Path, order: int, npix: int) -> Tile | None:
    """Read a tile of the deepest order; None where there is none.

    Parameters
    ----------
    directory : of the HiPS.
    order, npix : the tile.
    """
    path = tile_path(directory, order, npix)
    if not path.exists():
        return None
    with fits.open(path, memmap=False) as units:
        mosaics = {str(row["NAME"]): str(row["DIGEST"]) for row in units["MOSAICS"].data}
        return Tile(units[0].data.astype(np.float32), units["WEIGHT"].data.astype(np.float32), mosaics)


def write_tile(directory: Path, order: int, npix: int, tile: Tile, scale: Normalize) -> None:
    """Write a tile of the deepest order, or delete it when no mosaic has a pixel in it.

    The FITS file is written last: until then the tile counts as not changed.

    Parameters
    ----------
    directory : of the HiPS.
    order, npix : the tile.
    tile : its content.
    scale : of the colours.
    """
    names = list(tile.mosaics)
    columns = [
        fits.Column("NAME", f"{max(map(len, names), default=1)}A", array=names),
        fits.Column("DIGEST", f"{max(map(len, tile.mosaics.values()), default=1)}A", array=list(tile.mosaics.values())),
    ]
    weight = fits.ImageHDU(tile.weight.astype(">f4"), name="WEIGHT")
    weight.header["BUNIT"] = "1/Jy2"
    units = [weight, fits.BinTableHDU.from_columns(columns, name="MOSAICS")]
    _write(directory, order, npix, tile.flux if tile.weight.any() else None, scale, units)


def write_parent(directory: Path, order: int, npix: int, scale: Normalize) -> None:
    """Write a tile as the mean of the four tiles below it, or delete it when there is none.

    Parameters
    ----------
    directory : of the HiPS.
    order, npix : the tile.
    scale : of the colours.
    """
    half = TILE_PIXELS // 2
    flux = np.full((TILE_PIXELS, TILE_PIXELS), np.nan, dtype=np.float32)
    for number, start in enumerate(_quarters(half)):
        path = tile_path(directory, order + 1, 4 * npix + number)
        if path.exists():
            with fits.open(path, memmap=False) as units:
                flux[start[0] : start[0] + half, start[1] : start[1] + half] = _average(units[0].data, 2)
    _write(directory, order, npix, flux if np.isfinite(flux).any() else None, scale, [])


def _quarters(half: int) -> list[tuple[int, int]]:
    """First row and column of each child in its parent's array."""
    offsets = nested_offsets(1)
    return [tuple(int(index) * half for index in np.argwhere(offsets == number)[0]) for number in range(4)]  # type: ignore[misc]


def _average(flux: NDArray[Any], factor: int) -> Plane:
    """Mean of blocks without their blank pixels."""
    rows, columns = (length // factor for length in flux.shape)
    blocks = flux.reshape(rows, factor, columns, factor).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a block without a pixel
        return np.asarray(np.nanmean(blocks, axis=-1), dtype=np.float32)


def write_allsky(directory: Path, npixes: set[int], scale: Normalize) -> None:
    """Renew tiles in the preview of the whole sky, `Norder3/Allsky.fits` and `.png`.

    Parameters
    ----------
    directory : of the HiPS.
    npixes : the tiles of order 3 that have changed.
    scale : of the colours.
    """
    path = directory / f"Norder{MIN_ORDER}" / "Allsky.fits"
    if path.exists():
        with fits.open(path, memmap=False) as units:
            allsky = units[0].data.astype(np.float32)
    else:
        allsky = np.full(_ALLSKY_SHAPE, np.nan, dtype=np.float32)
    for npix in npixes:
        row, column = (ALLSKY_PIXELS * index for index in divmod(npix, ALLSKY_COLUMNS))
        tile = tile_path(directory, MIN_ORDER, npix)
        cell = np.full((ALLSKY_PIXELS, ALLSKY_PIXELS), np.nan, dtype=np.float32)
        if tile.exists():
            with fits.open(tile, memmap=False) as units:
                cell = _average(units[0].data, TILE_PIXELS // ALLSKY_PIXELS)
        top = allsky.shape[0] - row  # rows of FITS are counted from the bottom
        allsky[top - ALLSKY_PIXELS : top, column : column + ALLSKY_PIXELS] = cell
    _write_png(path.with_suffix(".png"), allsky, scale)
    _write_file(path, partial(_write_fits, flux=allsky, cards={"ORDER": MIN_ORDER}, units=[]))


def _write(
    directory: Path, order: int, npix: int, flux: Plane | None, scale: Normalize, units: list[Any]
) -> None:  # fmt: skip
    path = tile_path(directory, order, npix)
    if flux is None:
        with disk_errors(path):
            path.with_suffix(".png").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return
    _write_png(path.with_suffix(".png"), flux, scale)
    _write_file(path, partial(_write_fits, flux=flux, cards={"ORDER": order, "NPIX": npix}, units=units))


def _write_png(path: Path, flux: Plane, scale: Normalize) -> None:
    picture = flux[::-1]
    is_covered, colours = np.isfinite(picture), np.zeros((*picture.shape, 4), dtype=np.uint8)  # transparent where blank
    colours[is_covered] = colormaps[drawing.COLOURS](scale(picture[is_covered]), bytes=True)
    _write_file(path, lambda target: Image.fromarray(colours).save(target, "png", compress_level=drawing.COMPRESSION))


def _write_fits(path: Path, flux: Plane, cards: Mapping[str, int], units: list[Any]) -> None:
    primary = fits.PrimaryHDU(flux.astype(">f4"))
    primary.header["BUNIT"] = "JY/BEAM"
    primary.header.update(cards)
    with path.open("wb") as file:
        fits.HDUList([primary, *units]).writeto(file)


def _write_file(path: Path, write: Callable[[Path], object]) -> None:
    with staged(path, need_bytes=_BYTES) as temporary, disk_errors(path):
        write(temporary)
