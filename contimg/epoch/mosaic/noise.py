"""Local noise of an image, from the median absolute deviation in overlapping boxes."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.sky.comparison.statistics import MAD_TO_SIGMA

BOX_BEAMS = 16.0  # side of a box, in major axes of the beam: about 200 independent values
MIN_PIXELS = 64
MAX_SAMPLES = 2048  # of a box, about 10 per beam; more pixels are sampled evenly
MIN_FILLED = 0.25  # part of a box's samples that must be valid


@dataclass(frozen=True)
class NoiseMap:
    """Noise at the centres of boxes.

    Attributes
    ----------
    values : shape (rows, columns) of boxes; NaN only where no box has data.
    first : pixel of the first centre, on both axes.
    step : pixels between centres.
    """

    values: NDArray[np.float32]
    first: float
    step: float


def measure_noise_map(image: NDArray[np.float32], valid: NDArray[np.bool_], beam_pixels: float) -> NoiseMap:
    """Measure the noise of an image.

    Parameters
    ----------
    image : shape (rows, columns).
    valid : pixels that count, shape (rows, columns).
    beam_pixels : major axis of the beam.
    """
    side = max(8, min(round(BOX_BEAMS * beam_pixels), min(image.shape)))
    step = max(1, side // 2)
    counts = [max(1, -(-(length - side) // step) + 1) for length in image.shape]
    stride = max(1, int(np.ceil(side / np.sqrt(MAX_SAMPLES))))
    values = _box_noise(image, valid, side, step, stride, counts[0], counts[1])
    return NoiseMap(_smooth(values), side / 2 - 0.5, float(step))


@numba.njit(parallel=True, cache=True, nogil=True)
def _box_noise(image, valid, side, step, stride, rows, columns):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The noise of each box; NaN where too few pixels are valid."""
    noise = np.full((rows, columns), np.nan, dtype=np.float32)
    per_side = (side + stride - 1) // stride
    for box in numba.prange(rows * columns):
        top = min(box // columns * step, max(0, image.shape[0] - side))
        left = min(box % columns * step, max(0, image.shape[1] - side))
        samples = np.empty(per_side * per_side, dtype=np.float32)
        count = 0
        total = 0
        for y in range(top, min(top + side, image.shape[0]), stride):
            for x in range(left, min(left + side, image.shape[1]), stride):
                total += 1
                if valid[y, x]:
                    samples[count] = image[y, x]
                    count += 1
        if count >= MIN_PIXELS and count >= MIN_FILLED * total:
            median = np.median(samples[:count])
            noise[box // columns, box % columns] = MAD_TO_SIGMA * np.median(np.abs(samples[:count] - median))
    return noise


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each box and its neighbours; boxes without data take the mean of the nearest ones."""
    smoothed = _neighbour_mean(values)
    while np.isnan(smoothed).any() and not np.isnan(smoothed).all():
        smoothed = np.where(np.isnan(smoothed), _neighbour_mean(smoothed), smoothed)
    return smoothed


def _neighbour_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the 3 x 3 values around each one, without NaN."""
    padded = np.pad(values, 1, constant_values=np.nan)
    shifted = np.stack([padded[y : y + values.shape[0], x : x + values.shape[1]] for y in range(3) for x in range(3)])
    count = np.isfinite(shifted).sum(axis=0)
    total = np.nansum(shifted, axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
