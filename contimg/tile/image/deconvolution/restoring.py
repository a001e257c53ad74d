"""The restoring beam, an elliptical Gaussian fitted to the point spread's main lobe; the model convolved with it."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.optimize import least_squares
from scipy.signal import oaconvolve

from contimg.errors import BadInput
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.result import Beam

LOBE_LEVEL = 0.35  # of the peak: below it sidelobes begin to bend the main lobe
REACH = 64  # pixels around the centre that may hold the main lobe
MAGNIFIED = 4
FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


def gaussian(
    beam: Beam, pixel_arcsec: float, x_offset: NDArray[np.float64], y_offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A beam of peak 1 at offsets in pixels (x to the west, y to the north) that broadcast together."""
    a, b, c = _quadratic(beam, pixel_arcsec)
    return np.asarray(np.exp(-(a * x_offset**2 + 2 * b * x_offset * y_offset + c * y_offset**2)))


def fit_beam(point_spread: Image, pixel_arcsec: float) -> Beam:
    """Least-squares fit to the pixels of the main lobe above `LOBE_LEVEL`; raises BadInput when there is no lobe."""
    reach = min(REACH, point_spread.shape[0] // 2 - 1)
    fine = _magnified(point_spread, reach)
    middle = reach * MAGNIFIED
    lobes, _ = label(fine > LOBE_LEVEL)
    y, x = np.nonzero(lobes == lobes[middle, middle])
    values = fine[y, x]
    offsets = (x - middle) / MAGNIFIED, (y - middle) / MAGNIFIED
    # The logarithm is a quadratic: its linear solution starts the fit.
    design = np.stack([offsets[0] ** 2, 2 * offsets[0] * offsets[1], offsets[1] ** 2], axis=1)
    start = np.linalg.lstsq(design * values[:, None], -np.log(values) * values, rcond=None)[0]
    fitted = least_squares(lambda form: np.exp(-design @ form) - values, start).x
    return _ellipse(fitted, pixel_arcsec)


def _magnified(point_spread: Image, reach: int) -> NDArray[np.float64]:
    """The middle of an image, `reach` pixels to each side, on a finer grid: a beam may be two pixels wide.

    Interpolation by the Dirichlet kernel is exact for an image whose pixels sample its longest baseline.
    """
    size = point_spread.shape[0]
    places = size // 2 + np.arange(-reach * MAGNIFIED, reach * MAGNIFIED + 1) / MAGNIFIED
    angle = np.pi * (places[:, None] - np.arange(size))
    turns = size * np.tan(angle / size)
    kernel = np.where(np.abs(turns) < 1e-9, 1.0, np.sin(angle) / np.where(turns == 0, 1.0, turns))
    return np.asarray(kernel @ point_spread.astype(np.float64) @ kernel.T)


def restore(model: Image, residual: Image, beam: Beam, pixel_arcsec: float) -> Image:
    """The model (Jy per pixel) convolved with the beam, plus the residual: Jy per beam."""
    if not model.any():
        return residual.copy()
    reach = int(np.ceil(5 * beam.major_arcsec / FWHM_PER_SIGMA / pixel_arcsec))
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = gaussian(beam, pixel_arcsec, steps[None, :], steps[:, None])
    return np.asarray(oaconvolve(model, kernel.astype(np.float32), mode="same") + residual, dtype=np.float32)


def _quadratic(beam: Beam, pixel_arcsec: float) -> tuple[float, float, float]:
    """a, b, c of exp(-(a x² + 2 b x y + c y²)) in pixels; the position angle turns from +y (north) to -x (east)."""
    along = 4 * np.log(2) * (pixel_arcsec / beam.major_arcsec) ** 2
    across = 4 * np.log(2) * (pixel_arcsec / beam.minor_arcsec) ** 2
    sine, cosine = np.sin(np.deg2rad(beam.angle_deg)), np.cos(np.deg2rad(beam.angle_deg))
    return (
        float(along * sine**2 + across * cosine**2),
        float((across - along) * sine * cosine),
        float(along * cosine**2 + across * sine**2),
    )


def _ellipse(form: NDArray[np.float64], pixel_arcsec: float) -> Beam:
    """The beam of a quadratic form, by its principal axes."""
    curvatures, axes = np.linalg.eigh(np.array([[form[0], form[1]], [form[1], form[2]]]))
    if curvatures[0] <= 0:
        raise BadInput("the main lobe of the point spread function is no peak; look at the flags and the weighting")
    major, minor = np.sqrt(4 * np.log(2) / curvatures) * pixel_arcsec
    x, y = axes[:, 0]
    angle = float(np.rad2deg(np.arctan2(-x, y)))
    return Beam(float(major), float(minor), (angle + 90) % 180 - 90)
