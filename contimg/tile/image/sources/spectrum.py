"""The spectrum of one source from the visibilities: their mean, turned to its place, in parts of the band."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.tile.image.gridding.gridding import Gridder

POINTS = 24
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Spectrum:
    """Flux against frequency.

    Attributes
    ----------
    freqs_hz : weighted mean frequency of each part of the band that has data, shape (parts,).
    apparent_jy, error_jy : as seen through the primary beam, shape (parts,); errors from the scatter of the imaginary
        parts, so what other sources add is in them.
    attenuation : of the primary beam over the drift, shape (parts,); apparent over it is true.
    """

    freqs_hz: NDArray[np.float64]
    apparent_jy: NDArray[np.float64]
    error_jy: NDArray[np.float64]
    attenuation: NDArray[np.float64]

    def power_law(self) -> tuple[float, float, float]:
        """True flux (Jy) at the middle frequency, spectral index and its error; nan of too few points."""
        flux, error = self.apparent_jy / self.attenuation, self.error_jy / self.attenuation
        usable = (flux > 3 * error) & (error > 0)
        if usable.sum() < 3:
            return float("nan"), float("nan"), float("nan")
        ratio = np.log(self.freqs_hz[usable] / self.freqs_hz.mean())
        weights = flux[usable] / error[usable]
        fitted, covariance = np.polyfit(ratio, np.log(flux[usable]), 1, w=weights, cov="unscaled")
        return float(np.exp(fitted[1])), float(fitted[0]), float(np.sqrt(covariance[0, 0]))


def spectrum_at(description: MSInfo, gridder: Gridder, x: float, y: float, points: int = POINTS) -> Spectrum:
    """The spectrum at a place of the image, in pixels; parts of the band without data are left out."""
    l, m = (gridder.size // 2 - x) * gridder.pixel_rad, (y - gridder.size // 2) * gridder.pixel_rad  # noqa: E741
    sums, squares, total = _turned(gridder, np.array([l, m, np.sqrt(1 - l * l - m * m) - 1]))
    freqs = gridder.visibilities.freqs_hz
    parts = [one for one in np.array_split(np.arange(freqs.size), min(points, freqs.size)) if total[one].any()]
    weights = np.array([total[one].sum() for one in parts])
    means = np.array([freqs[one] @ total[one] for one in parts]) / weights
    return Spectrum(
        freqs_hz=means,
        apparent_jy=np.array([sums[one].sum() for one in parts]) / weights,
        error_jy=np.sqrt(np.array([squares[one].sum() for one in parts])) / weights,
        attenuation=_attenuation(description, l, m, means),
    )


def _turned(gridder: Gridder, lmn: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """By channel: the weighted sum of the real parts, of the squares of the imaginary parts, and of the weights."""
    data = gridder.visibilities
    sums, squares, total = np.zeros((3, data.freqs_hz.size))
    for start in range(0, data.uvw_m.shape[0], ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        turns = (data.uvw_m[rows] @ lmn)[:, None] * data.freqs_hz / C_M_S
        turned = gridder.weights[rows] * data.stokes_i[rows] * np.exp(-2j * np.pi * (turns % 1)).astype(np.complex64)
        sums += turned.real.sum(axis=0, dtype=np.float64)
        squares += np.square(turned.imag, dtype=np.float64).sum(axis=0)
        total += gridder.weights[rows].sum(axis=0, dtype=np.float64)
    return sums, squares, total


def _attenuation(description: MSInfo, l: float, m: float, freqs_hz: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: E741
    """The primary beam at direction cosines about the phase centre, averaged over the drift, by frequency."""
    pointing = unit_vectors(*description.pointing_rad.T)
    separation = np.arccos(np.clip(pointing @ sin_deproject(l, m, description.phase_centre_rad), -1, 1))
    return np.asarray(primary_beam(separation[:, None], freqs_hz[None, :]).mean(axis=0))
