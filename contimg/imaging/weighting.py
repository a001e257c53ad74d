"""Briggs' robust weighting over the cells of the uv plane (D. Briggs, PhD thesis, New Mexico Tech, 1995)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from contimg.telescope import C_M_S

BLOCK_SAMPLES = 2_000_000


def briggs(
    uvw_m: NDArray[np.float64],
    freqs_hz: NDArray[np.float64],
    weights: NDArray[np.float32],
    size: int,
    pixel_rad: float,
    robust: float,
) -> NDArray[np.float32]:
    """Imaging weights w / (1 + f² W), W the natural weight of the sample's cell and f² = (5·10⁻ᴿ)² Σw / ΣW².

    Cells are 1/(size × pixel) wide. A sample beyond the grid (a pixel too coarse for its baseline) gets weight 0.

    Parameters
    ----------
    uvw_m, freqs_hz, weights : shapes (rows, 3), (channels,), (rows, channels); weights are the natural ones.
    """
    half = size // 2
    columns = half + 1
    plane = np.zeros((size + 1) * columns)
    for rows, cells, inside in _cells(uvw_m, freqs_hz, size, pixel_rad):
        plane += np.bincount(cells.ravel(), (weights[rows] * inside).ravel(), minlength=plane.size)
    density = plane.reshape(size + 1, columns)
    # Half the plane is kept, v >= 0; a sample at v = 0 and its conjugate both lie in that first column.
    density[:, 0] += density[::-1, 0]
    squares = 2 * np.square(density[:, 1:]).sum() + np.square(density[:, 0]).sum()
    total = 2 * density[:, 1:].sum() + density[:, 0].sum()
    scale = (5 * 10.0**-robust) ** 2 * total / squares if squares > 0 else 0.0
    flat = density.ravel()
    robustly = np.empty_like(weights)
    for rows, cells, inside in _cells(uvw_m, freqs_hz, size, pixel_rad):
        robustly[rows] = weights[rows] * inside / (1 + scale * flat[cells])
    return robustly


def _cells(
    uvw_m: NDArray[np.float64], freqs_hz: NDArray[np.float64], size: int, pixel_rad: float
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.bool_]]]:
    """For blocks of rows: the flat index of every sample's cell on the half plane, and whether it is on the grid."""
    per_metre = freqs_hz / C_M_S * (size * pixel_rad)
    half = size // 2
    step = max(1, BLOCK_SAMPLES // freqs_hz.size)
    for start in range(0, uvw_m.shape[0], step):
        rows = slice(start, start + step)
        u = np.rint(uvw_m[rows, :1] * per_metre).astype(np.int64)
        v = np.rint(uvw_m[rows, 1:2] * per_metre).astype(np.int64)
        u = np.where(v < 0, -u, u) + half
        v = np.abs(v)
        inside = (u >= 0) & (u <= size) & (v <= half)
        yield rows, np.where(inside, u * (half + 1) + v, 0), inside
