"""Grid of a mosaic: one equal-area projection around the middle of the strip, as small as the tiles allow.

The zenithal equal-area projection (ZEA; Calabretta & Greisen 2002, section 5.1.7) keeps the area of the synthesized
beam, and changes lengths by 0.3 % at 9 deg from the centre, where SIN shortens them by 1.2 %. The centre is the mean
direction on the sphere, so right ascension 0h is no border.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.epoch.mosaic.members import TileHeader
from contimg.epoch.mosaic.options import MosaicOptions
from contimg.instrument.coordinates import separation_rad, unit_vectors

EDGE_POINTS = 129  # on each side of a tile image
STEP = 16  # pixels between the exact coordinates of `coarse_pixels`
MAX_RADIUS_DEG = 80.0


@dataclass(frozen=True)
class Window:
    """Part of the mosaic's grid that a tile image covers: first row and column, numbers of rows and columns."""

    row: int
    column: int
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array of the mosaic."""
        return slice(self.row, self.row + self.rows), slice(self.column, self.column + self.columns)


@dataclass(frozen=True)
class Grid:
    """Pixels of a mosaic.

    Attributes
    ----------
    wcs : celestial coordinates.
    shape : rows and columns.
    cell_arcsec : size of a pixel.
    windows : of each tile.
    """

    wcs: WCS
    shape: tuple[int, int]
    cell_arcsec: float
    windows: tuple[Window, ...]


def make_grid(tiles: Sequence[TileHeader], options: MosaicOptions) -> Grid:
    """Choose the grid of tiles.

    Parameters
    ----------
    tiles : at least one.
    options : of the stage.

    Raises
    ------
    BadInput : the mosaic would be larger than `max_megapixels`; a tile image far from the others is named.
    """
    directions = unit_vectors(*np.deg2rad([[tile.ra_deg, tile.dec_deg] for tile in tiles]).T)
    mean = directions.mean(axis=0)
    centre_deg = float(np.rad2deg(np.arctan2(mean[1], mean[0]))) % 360, float(np.mean([tile.dec_deg for tile in tiles]))
    cell_arcsec = options.pixel_arcsec or round(min(tile.cell_arcsec for tile in tiles), 6)
    distance_deg = np.rad2deg(
        separation_rad(np.deg2rad([[tile.ra_deg, tile.dec_deg] for tile in tiles]), np.deg2rad(centre_deg))
    )
    farthest = int(np.argmax(distance_deg))
    wcs = _zenithal(centre_deg, cell_arcsec)
    corners = [_outline(tile, wcs) for tile in tiles]
    low = np.floor(np.min([corner.min(axis=0) for corner in corners], axis=0)).astype(int) - 1
    high = np.ceil(np.max([corner.max(axis=0) for corner in corners], axis=0)).astype(int) + 2
    columns, rows = (int(size) for size in high - low)
    if distance_deg[farthest] > MAX_RADIUS_DEG or columns * rows > options.max_megapixels * 1e6:
        raise BadInput(
            f"{tiles[farthest].path}: {distance_deg[farthest]:.1f} deg from the middle of the tiles; the mosaic would "
            f"have {columns} x {rows} pixels (limit {options.max_megapixels:g} megapixels); give the tiles of one epoch"
        )
    wcs.wcs.crpix = 1.0 - low
    windows = []
    for corner in corners:
        start = np.floor(corner.min(axis=0)).astype(int) - 1 - low
        start = start // STEP * STEP  # so that the coarse pixels of all windows are those of one lattice
        stop = np.ceil(corner.max(axis=0)).astype(int) + 2 - low
        windows.append(Window(int(start[1]), int(start[0]), int(stop[1] - start[1]), int(stop[0] - start[0])))
    return Grid(wcs, (rows, columns), cell_arcsec, tuple(windows))


def _zenithal(centre_deg: tuple[float, float], cell_arcsec: float) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---ZEA", "DEC--ZEA"
    wcs.wcs.crval = centre_deg
    wcs.wcs.cdelt = -cell_arcsec / 3600, cell_arcsec / 3600
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.crpix = 1.0, 1.0
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _outline(tile: TileHeader, wcs: WCS) -> NDArray[np.float64]:
    """Pixels (x, y) of the mosaic, counted from the reference pixel, on the outline of a tile image."""
    rows, columns = tile.shape
    x, y = np.linspace(-0.5, columns - 0.5, EDGE_POINTS), np.linspace(-0.5, rows - 0.5, EDGE_POINTS)
    sides = [(x, np.full_like(x, y[0])), (x, np.full_like(x, y[-1])), (np.full_like(y, x[0]), y),
             (np.full_like(y, x[-1]), y)]  # fmt: skip
    edge = np.concatenate([np.stack(side, axis=-1) for side in sides])
    world = tile.wcs.wcs_pix2world(edge, 0)
    pixels = wcs.wcs_world2pix(world[np.isfinite(world).all(axis=1)], 0)
    return np.asarray(pixels[np.isfinite(pixels).all(axis=1)])


def coarse_pixels(grid: Grid, window: Window, tile: TileHeader, shift_deg: tuple[float, float]) -> NDArray[np.float64]:
    """Return the pixels of a tile image under every `STEP`-th pixel of a window.

    Linear interpolation between them is right to 1e-3 pixels: the projections hardly bend over 16 pixels.

    Parameters
    ----------
    grid, window : pixels of the mosaic.
    tile : the tile image.
    shift_deg : shift of the tile image to the east and to the north, degrees on the sky.

    Returns
    -------
    x and y, shape (2, ceil(rows / STEP) + 1, ceil(columns / STEP) + 1); NaN where the tile's projection ends.
    """
    x = window.column + STEP * np.arange(-(-window.columns // STEP) + 1, dtype=np.float64)
    y = window.row + STEP * np.arange(-(-window.rows // STEP) + 1, dtype=np.float64)
    grid_x, grid_y = np.meshgrid(x, y)
    ra, dec = grid.wcs.wcs_pix2world(grid_x.ravel(), grid_y.ravel(), 0)
    # What the mosaic shows at a position stands in the tile image at the position less its shift.
    dec = dec - shift_deg[1]
    ra = ra - shift_deg[0] / np.cos(np.deg2rad(dec))
    pixels = tile.wcs.wcs_world2pix(np.stack([ra, dec], axis=-1), 0)
    return np.asarray(pixels.T.reshape(2, *grid_x.shape))


def north_angle_deg(wcs: WCS, tile: TileHeader) -> float:
    """Return the position angle of north in the frame of the pixels: from the vertical axis to the left.

    Parameters
    ----------
    wcs : of the mosaic, or of the tile image.
    tile : north is taken at its centre.
    """
    step_deg = 0.01
    ends = wcs.wcs_world2pix([[tile.ra_deg, tile.dec_deg], [tile.ra_deg, tile.dec_deg + step_deg]], 0)
    x, y = ends[1] - ends[0]
    return float(np.rad2deg(np.arctan2(-x, y)))
