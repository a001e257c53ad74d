"""Point sources in tile images: found, fitted all at once, and matched between tiles; offsets of tiles from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from contimg.epoch.mosaic.beams import beam_covariance
from contimg.epoch.mosaic.members import Image, TileHeader
from contimg.epoch.mosaic.noise import NoiseMap
from contimg.epoch.mosaic.reprojection import interpolate_linear
from contimg.instrument.coordinates import unit_vectors
from contimg.sky.comparison.statistics import MAD_TO_SIGMA
from contimg.tile.image.result import Beam

Vector = NDArray[np.float64]
ISOLATION_BEAMS = 4.0  # no second maximum above a tenth of the peak within this distance
SAME_BEAMS = 0.7  # of two tiles are one source
FIT_LEVEL = 0.4  # of the beam; the pixels above it are fitted
RING_BEAMS = 3.0, 6.0  # of the background around a source
MAX_RING_PIXELS = 800
ITERATIONS = 8
MAX_SOURCES = 2000  # of a tile; the brightest


@dataclass(frozen=True)
class TileSources:
    """Sources of a tile image, arrays of shape (sources,).

    Attributes
    ----------
    x, y : pixels.
    ra_deg, dec_deg : ICRS.
    apparent_jy : peak above the background, Jy per beam.
    rms_jy : local noise.
    background_jy : level around the source.
    pb : primary beam.
    """

    x: Vector
    y: Vector
    ra_deg: Vector
    dec_deg: Vector
    apparent_jy: Vector
    rms_jy: Vector
    background_jy: Vector
    pb: Vector


@numba.njit(cache=True, nogil=True)
def _find_maxima(image: Any, pb: Any, noise: Any, first: float, step: float, sigmas: float) -> Any:
    """Rows and columns of local maxima above a multiple of the local noise, shape (2, maxima)."""
    rows, columns = [0], [0]
    for row in range(1, image.shape[0] - 1):
        for column in range(1, image.shape[1] - 1):
            value = image[row, column]
            if not (pb[row, column] > 0 and value > 0):
                continue
            if value < sigmas * interpolate_linear(noise, (row - first) / step, (column - first) / step):
                continue
            near = image[row - 1 : row + 2, column - 1 : column + 2]
            is_maximum = True
            for j in range(3):
                for i in range(3):
                    later = j > 1 or (j == 1 and i > 1)
                    if near[j, i] > value or (near[j, i] == value and not later and not (j == 1 and i == 1)):
                        is_maximum = False
            if is_maximum:
                rows.append(row)
                columns.append(column)
    return np.array([rows[1:], columns[1:]], dtype=np.int64)


def find_peaks(
    image: Image, used: Image, noise: NoiseMap, sigmas: float, beam_pixels: float, limit: int | None = MAX_SOURCES
) -> NDArray[np.int64]:
    """Return the isolated maxima of an image, brightest first, shape (2, maxima): rows and columns.

    Parameters
    ----------
    image : shape (rows, columns).
    used : above 0 where the image is used.
    noise : of the image.
    sigmas : minimum height over the local noise.
    beam_pixels : major axis of the beam.
    limit : of their number; None for all.
    """
    peaks = np.asarray(_find_maxima(image, used, noise.values, noise.first, noise.step, sigmas))
    height = image[peaks[0], peaks[1]]
    peaks = peaks[:, np.lexsort((peaks[1], peaks[0], -height))]
    height = image[peaks[0], peaks[1]]
    if peaks.shape[1] < 2:
        return peaks
    pairs = cKDTree(peaks.T).query_pairs(ISOLATION_BEAMS * beam_pixels, output_type="ndarray")
    blended = np.zeros(peaks.shape[1], dtype=bool)
    for i, j in (pairs.T, pairs.T[::-1]):
        blended[i[height[j] > 0.1 * height[i]]] = True
    return peaks[:, ~blended][:, :limit]


def measure_tile(
    tile: TileHeader, image: Image, pb: Image, noise: NoiseMap, beam: Beam, positions: NDArray[np.float64],
    background_jy: float | None = None,
) -> TileSources:  # fmt: skip
    """Fit the beam to the sources of a tile image.

    Parameters
    ----------
    tile, image, pb, noise : the tile image.
    beam : in the frame of its pixels.
    positions : rows and columns near the sources, shape (2, sources).
    background_jy : level of the image; None: that around each source.

    Returns
    -------
    The sources in the same order; those whose fit fails have NaN fluxes.
    """
    reach = RING_BEAMS[1] * beam.major_arcsec / tile.cell_arcsec
    centres = np.rint(positions).astype(np.int64)
    levels = _ring_levels(image, pb, centres, reach)
    subtracted = levels if background_jy is None else np.full(levels.shape, background_jy)
    apparent, x, y = fit_beams(image, positions, subtracted, beam, tile.cell_arcsec)
    ra_deg, dec_deg = tile.wcs.wcs_pix2world(np.stack([x, y], axis=-1), 0).T if x.size else (x, y)
    row, column = (np.clip(np.rint(np.nan_to_num(axis)), 0, length - 1).astype(np.int64)
                   for axis, length in zip((y, x), image.shape, strict=True))  # fmt: skip
    rms = np.array([interpolate_linear(noise.values, (j - noise.first) / noise.step, (i - noise.first) / noise.step)
                    for j, i in zip(row, column, strict=True)])  # fmt: skip
    response = pb[row, column].astype(np.float64)
    apparent = np.where(response > 0, apparent, np.nan)
    return TileSources(x, y, ra_deg % 360, dec_deg, apparent, rms.astype(np.float64), levels, response)


def _ring_levels(image: Image, pb: Image, centres: NDArray[np.int64], reach: float) -> Vector:
    """Median in the ring around each source; NaN where most of it is outside the image."""
    size = int(np.ceil(reach))
    rows, columns = np.indices((2 * size + 1, 2 * size + 1)) - size
    distance = np.hypot(rows, columns)
    ring = np.flatnonzero((distance >= reach * RING_BEAMS[0] / RING_BEAMS[1]) & (distance <= reach))
    ring = ring[:: max(1, ring.size // MAX_RING_PIXELS)]
    y = centres[0][:, None] + rows.ravel()[ring]
    x = centres[1][:, None] + columns.ravel()[ring]
    inside = (y >= 0) & (x >= 0) & (y < image.shape[0]) & (x < image.shape[1])
    y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
    inside &= pb[y, x] > 0
    enough = inside.sum(axis=1) > ring.size // 2
    levels = np.full(centres.shape[1], np.nan)
    values = np.where(inside, image[y, x], np.nan)[enough]
    levels[enough] = np.nanmedian(values, axis=1) if enough.any() else levels[enough]
    return levels


def fit_beams(
    image: Image, positions: NDArray[np.float64], levels: Vector, beam: Beam, cell_arcsec: float
) -> tuple[Vector, Vector, Vector]:
    """Fit peak and position of a beam at each of many positions, by Gauss-Newton steps.

    Parameters
    ----------
    image : shape (rows, columns), Jy per beam.
    positions : rows and columns, shape (2, sources).
    levels : background of each source.
    beam, cell_arcsec : the beam in the frame of the pixels and the size of a pixel.

    Returns
    -------
    Peak (Jy per beam), x and y (pixels), shape (sources,); NaN where the fit leaves the pixels around the position.
    """
    form = 0.5 * np.linalg.inv(beam_covariance(beam) / cell_arcsec**2)
    a, b, c = form[0, 0], form[0, 1], form[1, 1]
    half = int(np.ceil(np.sqrt(-np.log(FIT_LEVEL) / np.linalg.eigvalsh(form)[0]))) + 1
    steps = np.arange(-half, half + 1)
    middle = np.rint(positions).astype(np.int64)
    rows = middle[0][:, None, None] + steps[None, :, None]
    columns = middle[1][:, None, None] + steps[None, None, :]
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    stamps = image[np.clip(rows, 0, image.shape[0] - 1), np.clip(columns, 0, image.shape[1] - 1)].astype(np.float64)
    stamps -= np.nan_to_num(levels)[:, None, None]
    y, x = (positions - middle).astype(np.float64)
    peak = stamps[:, half, half].copy()
    for _ in range(ITERATIONS):
        dx, dy = steps[None, None, :] - x[:, None, None], steps[None, :, None] - y[:, None, None]
        model = np.exp(-(a * dx**2 + 2 * b * dx * dy + c * dy**2))
        weight = (model > FIT_LEVEL) & inside
        scaled = peak[:, None, None] * model
        slopes = np.stack([model, scaled * (2 * a * dx + 2 * b * dy), scaled * (2 * b * dx + 2 * c * dy)])
        residual = np.where(weight, stamps - scaled, 0.0)
        slopes = np.where(weight, slopes, 0.0)
        normal = np.einsum("isyx,jsyx->sij", slopes, slopes)
        right = np.einsum("isyx,syx->si", slopes, residual)
        normal += np.eye(3) * 1e-12 * (np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-30)
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        peak = peak + step[:, 0]
        x, y = (axis + np.clip(move, -1.0, 1.0) for axis, move in ((x, step[:, 1]), (y, step[:, 2])))
    is_good = (np.abs(x) <= half) & (np.abs(y) <= half) & (peak > 0)
    peak, x, y = (np.where(is_good, value, np.nan) for value in (peak, x + middle[1], y + middle[0]))
    return peak, x, y


def match_sources(tiles: Sequence[TileSources], radius_arcsec: float) -> list[NDArray[np.int64]]:
    """Match the sources of all tiles on the sphere.

    Parameters
    ----------
    tiles : sources of each tile.
    radius_arcsec : distance within which sources of two tiles are one.

    Returns
    -------
    For each tile the number of each source, equal between tiles; -1 for one in a single tile, or matched ambiguously.
    """
    directions = np.concatenate([unit_vectors(*np.deg2rad([tile.ra_deg, tile.dec_deg])) for tile in tiles])
    tile_of = np.concatenate([np.full(tile.x.size, number) for number, tile in enumerate(tiles)]).astype(np.int64)
    numbers = np.full(tile_of.size, -1)
    fluxes_jy = np.concatenate([tile.apparent_jy for tile in tiles])
    finite = np.flatnonzero(np.isfinite(directions).all(axis=1) & np.isfinite(fluxes_jy))
    if finite.size:
        pairs = cKDTree(directions[finite]).query_pairs(np.deg2rad(radius_arcsec / 3600), output_type="ndarray")
        pairs = finite[pairs]
        links = np.ones(len(pairs))
        graph = coo_array((links, (pairs[:, 0], pairs[:, 1])), shape=(tile_of.size, tile_of.size))
        _, component = connected_components(graph, directed=False)
        _, first, count = np.unique(component * len(tiles) + tile_of, return_index=True, return_counts=True)
        members = np.bincount(component[first])
        ambiguous = np.bincount(component[first], count > 1) > 0
        shared = (members > 1) & ~ambiguous
        renumbered = np.where(shared, np.cumsum(shared) - 1, -1)
        numbers = renumbered[component]
    return list(np.split(numbers, np.cumsum([tile.x.size for tile in tiles])[:-1]))


def solve_offsets(
    source: NDArray[np.int64], category: NDArray[np.int64], value: Vector, error: Vector, count: int, prior: float
) -> tuple[Vector, Vector, Vector]:
    """Solve value = m[source] + offset[category] by robust least squares; the m are eliminated.

    Residuals above 1.5 times their scatter have a smaller weight (Huber 1964, Ann. Math. Stat. 35, 73).

    Parameters
    ----------
    source, category : indices, shape (values,).
    value, error : shape (values,).
    count : number of categories.
    prior : expected size of the offsets; it makes their mean 0, and those without data.

    Returns
    -------
    Offsets, shape (count,), their covariance, shape (count, count), and the residuals, shape (values,).
    """
    weight = 1 / error**2
    sources = int(source.max()) + 1 if source.size else 0
    offset, covariance = np.zeros(count), np.eye(count) * prior**2
    residual = value.copy()
    for _ in range(ITERATIONS):
        if not source.size:
            break
        total = np.maximum(np.bincount(source, weight, sources), 1e-300)
        table = np.zeros((sources, count))
        np.add.at(table, (source, category), weight)
        mean = np.bincount(source, weight * value, sources) / total
        normal = np.diag(table.sum(axis=0)) - table.T @ (table / total[:, None]) + np.eye(count) / prior**2
        right = np.bincount(category, weight * (value - mean[source]), count)
        offset = np.linalg.solve(normal, right)
        free = value - offset[category]
        residual = free - (np.bincount(source, weight * free, sources) / total)[source]
        normalized = np.abs(residual) / error
        scale = max(1.0, MAD_TO_SIGMA * float(np.median(normalized)))
        covariance = scale**2 * np.linalg.inv(normal)
        weight = 1 / error**2 * np.minimum(1.0, 1.5 * scale / np.maximum(normalized, 1e-12))
    return offset, covariance, residual
