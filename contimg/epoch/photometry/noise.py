"""Noise of an image for photometry: local rms, correlation between pixels, and the errors' scale on empty positions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from contimg.epoch.mosaic.noise import measure_noise_map
from contimg.epoch.photometry.image import Image, RestoredImage
from contimg.epoch.photometry.kernels import fit_positions
from contimg.epoch.photometry.options import MeasureOptions
from contimg.tile.image.gridding.noise import measure_rms

STAMPS = 300  # empty positions that the correlation is measured around
STAMP_BEAMS = 1.5  # half side of a stamp, major axes; the correlation is measured to twice that
MAX_SIGMA = 6.0  # a stamp with a pixel above holds a source
MIN_EMPTY = 50  # fewer positions give no scale
CANDIDATES = 20  # positions that are tried for each empty one
SEED = 20260222  # of the empty positions: the same image has the same errors


@dataclass(frozen=True)
class Noise:
    """Noise of an image.

    Attributes
    ----------
    correlation : covariance of two pixels over the local variance, as `fit_positions` takes it.
    error_scale : errors over those that independent pixels of the local noise give, of a position alone.
    pull_width : standard deviation of the fluxes of empty positions over their errors before this factor is applied;
        1 where there are too few of them.
    empty_count : empty positions that were measured.
    """

    correlation: NDArray[np.float64]
    error_scale: float
    pull_width: float
    empty_count: int


def local_rms(image: RestoredImage, pixels: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the local noise at pixels, Jy per beam: of the map beside the image, or measured in boxes of 16 beams.

    Parameters
    ----------
    image : with its noise where there is a map.
    pixels : x and y, shape (positions, 2), all finite.
    valid : pixels with data, shape (rows, columns).
    """
    rows, columns = pixels[:, 1], pixels[:, 0]
    if image.rms is not None:
        # The nearest pixel: beside an edge an interpolation would take in pixels without noise.
        nearest = [np.clip(np.rint(axis).astype(int), 0, size - 1)
                   for axis, size in zip((rows, columns), image.rms.shape, strict=True)]  # fmt: skip
        return np.asarray(image.rms[nearest[0], nearest[1]], dtype=np.float64)
    noise = measure_noise_map(image.pixels, valid, image.axis_pixels[0])
    lattice = np.stack([rows - noise.first, columns - noise.first]) / noise.step
    return np.asarray(map_coordinates(noise.values.astype(np.float64), lattice, order=1, mode="nearest"))


def find_empty_pixels(
    image: RestoredImage, pixels: NDArray[np.float64], valid: NDArray[np.bool_], options: MeasureOptions
) -> NDArray[np.float64]:
    """Choose random positions with data that are far from the measured ones.

    Parameters
    ----------
    image : the image.
    pixels : x and y of the positions that are measured, shape (positions, 2), all finite.
    valid : pixels with data, shape (rows, columns).
    options : least distance and number.

    Returns
    -------
    x and y, shape (count, 2); fewer than asked for where the positions are dense.
    """
    rng = np.random.default_rng(SEED)
    rows, columns = valid.shape
    candidates = rng.uniform(0, 1, (CANDIDATES * options.empty_positions, 2)) * [columns - 1, rows - 1]
    reach = int(np.ceil(image.axis_pixels[0]))
    nearest = np.rint(candidates).astype(int)
    is_valid = np.ones(len(candidates), dtype=bool)
    for dx, dy in ((0, 0), (-reach, -reach), (-reach, reach), (reach, -reach), (reach, reach)):
        x, y = nearest[:, 0] + dx, nearest[:, 1] + dy
        is_valid &= (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
        is_valid &= valid[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
    candidates = candidates[is_valid]
    if len(pixels) and len(candidates):
        distance, _ = cKDTree(pixels).query(candidates, distance_upper_bound=options.empty_beams * image.axis_pixels[0])
        candidates = candidates[np.isinf(distance)]
    return np.asarray(candidates[: options.empty_positions])


def measure_noise(
    image: RestoredImage, empty: NDArray[np.float64], empty_rms: NDArray[np.float64], valid: NDArray[np.bool_]
) -> Noise:  # fmt: skip
    """Measure the correlation of the noise, and compare the fluxes of empty positions with their errors.

    Parameters
    ----------
    image : the image.
    empty : x and y of empty positions, shape (count, 2).
    empty_rms : local noise there, shape (count,).
    valid : pixels with data.
    """
    is_usable = empty_rms > 0
    empty, empty_rms = empty[is_usable], empty_rms[is_usable]
    correlation = _measure_correlation(image.pixels, empty, empty_rms, image.axis_pixels[0])
    if correlation is None:
        correlation = _beam_correlation(image.form, image.axis_pixels[0])
    middle = (image.pixels.shape[1] - 1) / 2, (image.pixels.shape[0] - 1) / 2
    positions = empty if len(empty) else np.array([middle])
    alone = np.arange(len(positions))
    fits = fit_positions(image.pixels, positions[:, 0], positions[:, 1], alone, image.form, correlation)
    ratio = float(np.nanmedian(fits.error / fits.white)) if np.isfinite(fits.error).any() else 1.0
    if len(empty) < MIN_EMPTY:
        return Noise(correlation, ratio, 1.0, len(empty))
    pulls = fits.flux / (fits.error * empty_rms)
    pulls = pulls[np.isfinite(pulls)]
    width = measure_rms(pulls) if pulls.size >= MIN_EMPTY else 1.0
    return Noise(correlation, ratio * width, width, int(pulls.size))


def _measure_correlation(
    image: Image, empty: NDArray[np.float64], rms: NDArray[np.float64], major_pixels: float
) -> NDArray[np.float64] | None:
    """Mean autocorrelation of stamps around empty positions; None where there are too few."""
    half = int(np.ceil(STAMP_BEAMS * major_pixels))
    middle = np.rint(empty).astype(int)
    is_inside = (middle >= half).all(axis=1) & (middle < np.array(image.shape[::-1]) - half).all(axis=1)
    steps = np.arange(-half, half + 1)
    size, total, count = fft.next_fast_len(4 * half + 1, real=True), None, 0
    for (x, y), noise in zip(middle[is_inside], rms[is_inside], strict=True):
        stamp = image[np.ix_(y + steps, x + steps)] / noise
        if not np.abs(stamp).max() <= MAX_SIGMA:  # also where a pixel is blank
            continue
        power = np.abs(fft.rfft2(stamp, (size, size))) ** 2
        total, count = (power if total is None else total + power), count + 1
        if count == STAMPS:
            break
    if total is None or count < MIN_EMPTY // 2:
        return None
    sums = np.roll(fft.irfft2(total / count, (size, size)), (2 * half, 2 * half), axis=(0, 1))
    overlap = 2 * half + 1 - np.abs(np.arange(-2 * half, 2 * half + 1))
    return np.asarray(sums[: 4 * half + 1, : 4 * half + 1] / np.outer(overlap, overlap))


def _beam_correlation(form: tuple[float, float, float], major_pixels: float) -> NDArray[np.float64]:
    """Correlation of white noise that was convolved with the beam: a Gaussian √2 times as wide."""
    half = int(np.ceil(2 * STAMP_BEAMS * major_pixels))
    steps = np.arange(-half, half + 1)
    x, y = steps[None, :], steps[:, None]
    return np.asarray(np.exp(-0.5 * (form[0] * x**2 + 2 * form[1] * x * y + form[2] * y**2)))
