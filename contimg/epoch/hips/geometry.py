"""HEALPix geometry of HiPS tiles: the order for a pixel size, directions of a tile's pixels, order of rows.

A tile of order k is a nested HEALPix pixel of nside 2^k, with 512 x 512 pixels, those of nside 512 * 2^k. The bits of
a nested index alternate between x, which increases to the north-east, and y, to the north-west. Column y, and row x
from the top, is the order of the PNG; FITS counts rows from the bottom (Fernique et al. 2015, A&A 578, A114).
"""

from functools import cache

import ducc0
import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.sky.catalogue.pixels import pixels_of

TILE_ORDER, MIN_ORDER, MAX_ORDER = 9, 3, 12
TILE_PIXELS = 1 << TILE_ORDER
MOC_ORDERS = 6  # cells of the MOC: a tile is divided into 4^6
NSIDE1_ARCSEC = np.rad2deg(np.sqrt(np.pi / 3)) * 3600  # side of a pixel of nside 1
_BLOCK = 16  # pixels of a mosaic between the directions that its tiles are found from


def choose_order(cell_arcsec: float) -> int:
    """Choose the order of tiles whose pixels are nearest to a pixel size: within a factor of 1.42.

    Parameters
    ----------
    cell_arcsec : size of the mosaic's pixels.
    """
    order = round(float(np.log2(NSIDE1_ARCSEC / TILE_PIXELS / cell_arcsec)))
    return min(max(order, MIN_ORDER), MAX_ORDER)


def pixel_arcsec(order: int) -> float:
    """Return the size of the pixels of a tile.

    Parameters
    ----------
    order : of the tile.
    """
    return float(NSIDE1_ARCSEC / TILE_PIXELS / 2**order)


@cache
def nested_offsets(orders: int) -> NDArray[np.int64]:
    """Return the nested index of each part of a pixel that is divided into 4^orders, in the order of a FITS array.

    Parameters
    ----------
    orders : of the division.

    Returns
    -------
    shape (2^orders, 2^orders).
    """
    numbers = np.arange(1 << orders, dtype=np.int64)
    spread = np.zeros_like(numbers)
    for bit in range(orders):
        spread |= ((numbers >> bit) & 1) << (2 * bit)
    return np.asarray(spread[::-1, None] + 2 * spread[None, :])


def tile_directions(order: int, npix: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return right ascension and declination (ICRS, degrees) of a tile's pixels, in the order of a FITS array.

    Parameters
    ----------
    order, npix : the tile.

    Returns
    -------
    two arrays, shape (512, 512).
    """
    grid = ducc0.healpix.Healpix_Base(TILE_PIXELS << order, "NEST")
    angles = grid.pix2ang(npix * TILE_PIXELS**2 + nested_offsets(TILE_ORDER))
    return np.rad2deg(angles[..., 1]), 90.0 - np.rad2deg(angles[..., 0])


def find_tiles(weight: NDArray[np.float32], wcs: WCS, order: int) -> list[int]:
    """Return the tiles that a mosaic's pixels with a weight touch, and possibly some that they do not.

    Parameters
    ----------
    weight : of the mosaic, shape (rows, columns); it may be a memory map, and is read in strips.
    wcs : celestial coordinates of its pixels.
    order : of the tiles.
    """
    rows, columns = weight.shape
    starts = np.arange(0, columns, _BLOCK)
    covered = np.array(
        [np.maximum.reduceat((weight[row : row + _BLOCK] > 0).any(axis=0), starts) for row in range(0, rows, _BLOCK)]
    )
    row_blocks, column_blocks = np.nonzero(covered)
    # Corners of the blocks, and of those around them: a tile's corner may lie in a block between the block's corners.
    steps = np.arange(-1, 3)
    y, x = np.broadcast_arrays(
        np.clip((row_blocks[:, None, None] + steps[:, None]) * _BLOCK - 0.5, -0.5, rows - 0.5),
        np.clip((column_blocks[:, None, None] + steps) * _BLOCK - 0.5, -0.5, columns - 0.5),
    )
    points = np.unique(np.stack([x.reshape(-1), y.reshape(-1)], axis=-1), axis=0)
    if not points.size:
        return []
    world = wcs.wcs_pix2world(points, 0)
    world = world[np.isfinite(world).all(axis=1)]
    return sorted(int(npix) for npix in np.unique(pixels_of(world[:, 0], world[:, 1], 1 << order)))
