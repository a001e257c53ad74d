"""Synthesized beam, an elliptical Gaussian fitted to the point-spread function, and restoring with it."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.optimize import least_squares
from scipy.signal import oaconvolve

from contimg.common.errors import BadInput
from contimg.common.units import FWHM_PER_SIGMA
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.result import Beam

LOBE_LEVEL = 0.35  # of the peak; below it sidelobes deform the main lobe
REACH = 64  # pixels around the centre that may hold the main lobe
OVERSAMPLING = 4


def evaluate_beam(
    beam: Beam, pixel_arcsec: float, x_offset: NDArray[np.float64], y_offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Evaluate a beam of peak 1 at offsets from its centre.

    Parameters
    ----------
    beam, pixel_arcsec : the beam and the size of a pixel.
    x_offset, y_offset : pixels to the west and to the north; shapes that broadcast together.
    """
    a, b, c = quadratic_form(beam, pixel_arcsec)
    return np.asarray(np.exp(-(a * x_offset**2 + 2 * b * x_offset * y_offset + c * y_offset**2)))


def fit_beam(psf: Image, pixel_arcsec: float) -> Beam:
    """Fit a beam to the pixels of the main lobe above `LOBE_LEVEL`, by least squares.

    Parameters
    ----------
    psf : point-spread function, shape (size, size), 1 at pixel size/2 of both axes.
    pixel_arcsec : size of a pixel.

    Raises
    ------
    BadInput : the main lobe has no peak.
    """
    reach = min(REACH, psf.shape[0] // 2 - 1)
    fine = _oversample(psf, reach)
    middle = reach * OVERSAMPLING
    lobes, _ = label(fine > LOBE_LEVEL)
    y, x = np.nonzero(lobes == lobes[middle, middle])
    values = fine[y, x]
    x_offset, y_offset = (x - middle) / OVERSAMPLING, (y - middle) / OVERSAMPLING
    # The logarithm is a quadratic form: its linear solution is the start of the fit.
    design = np.stack([x_offset**2, 2 * x_offset * y_offset, y_offset**2], axis=1)
    start = np.linalg.lstsq(design * values[:, None], -np.log(values) * values, rcond=None)[0]
    form = least_squares(lambda form: np.exp(-design @ form) - values, start).x
    return _beam_of_form(form, pixel_arcsec)


def _oversample(psf: Image, reach: int) -> NDArray[np.float64]:
    """The central `reach` pixels to each side on a finer grid, because a beam may be two pixels wide.

    Interpolation by the Dirichlet kernel is exact for an image whose pixels sample its longest baseline.
    """
    size = psf.shape[0]
    positions = size // 2 + np.arange(-reach * OVERSAMPLING, reach * OVERSAMPLING + 1) / OVERSAMPLING
    angle = np.pi * (positions[:, None] - np.arange(size))
    denominator = size * np.tan(angle / size)
    kernel = np.where(np.abs(denominator) < 1e-9, 1.0, np.sin(angle) / np.where(denominator == 0, 1.0, denominator))
    return np.asarray(kernel @ psf.astype(np.float64) @ kernel.T)


def restore(model: Image, residual: Image, beam: Beam, pixel_arcsec: float) -> Image:
    """Return the model (Jy per pixel) convolved with the beam, plus the residual: Jy per beam, shape (size, size).

    Parameters
    ----------
    model : clean components, shape (size, size).
    residual : Jy per beam, shape (size, size).
    beam : the synthesized beam.
    pixel_arcsec : size of a pixel.
    """
    if not model.any():
        return residual.copy()
    reach = int(np.ceil(5 * beam.major_arcsec / FWHM_PER_SIGMA / pixel_arcsec))
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = evaluate_beam(beam, pixel_arcsec, steps[None, :], steps[:, None])
    return np.asarray(oaconvolve(model, kernel.astype(np.float32), mode="same") + residual, dtype=np.float32)


def quadratic_form(beam: Beam, pixel_arcsec: float) -> tuple[float, float, float]:
    """Return a, b, c of a beam exp(-(a x² + 2 b x y + c y²)) in pixels.

    Parameters
    ----------
    beam, pixel_arcsec : the beam and the size of a pixel; the position angle turns from +y (north) to -x (east).
    """
    along = 4 * np.log(2) * (pixel_arcsec / beam.major_arcsec) ** 2
    across = 4 * np.log(2) * (pixel_arcsec / beam.minor_arcsec) ** 2
    sine, cosine = np.sin(np.deg2rad(beam.angle_deg)), np.cos(np.deg2rad(beam.angle_deg))
    return (
        float(along * sine**2 + across * cosine**2),
        float((across - along) * sine * cosine),
        float(along * cosine**2 + across * sine**2),
    )


def _beam_of_form(form: NDArray[np.float64], pixel_arcsec: float) -> Beam:
    """The beam of a quadratic form, from its principal axes."""
    curvatures, axes = np.linalg.eigh(np.array([[form[0], form[1]], [form[1], form[2]]]))
    if curvatures[0] <= 0:
        raise BadInput("the main lobe of the point-spread function has no peak; check the flags and the weighting")
    major, minor = np.sqrt(4 * np.log(2) / curvatures) * pixel_arcsec
    x, y = axes[:, 0]
    angle = float(np.rad2deg(np.arctan2(-x, y)))
    return Beam(float(major), float(minor), (angle + 90) % 180 - 90)
