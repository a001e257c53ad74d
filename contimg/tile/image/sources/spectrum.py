"""Spectrum of one source: the mean of the visibilities, phased to its position, in parts of the band."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.tile.image.gridding.gridder import Gridder

POINTS = 24
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Spectrum:
    """Flux against frequency.

    Attributes
    ----------
    freqs_hz : weighted mean frequency of each part of the band that has data, shape (parts,).
    apparent_jy, error_jy : apparent flux, shape (parts,), and its error from the scatter of the imaginary parts, which
        includes other sources.
    pb : mean primary beam over the drift, shape (parts,); apparent flux over it is true flux. NaN where unknown.
    """

    freqs_hz: NDArray[np.float64]
    apparent_jy: NDArray[np.float64]
    error_jy: NDArray[np.float64]
    pb: NDArray[np.float64]

    def fit_power_law(self) -> tuple[float, float, float]:
        """Return true flux (Jy) at the mean frequency, spectral index and its error; nan with too few points."""
        flux_jy, error_jy = self.apparent_jy / self.pb, self.error_jy / self.pb
        usable = (flux_jy > 3 * error_jy) & (error_jy > 0)
        if usable.sum() < 3:
            return float("nan"), float("nan"), float("nan")
        log_freq = np.log(self.freqs_hz[usable] / self.freqs_hz.mean())
        weights = flux_jy[usable] / error_jy[usable]
        coefficients, covariance = np.polyfit(log_freq, np.log(flux_jy[usable]), 1, w=weights, cov="unscaled")
        return float(np.exp(coefficients[1])), float(coefficients[0]), float(np.sqrt(covariance[0, 0]))


def measure_spectrum(ms: MSInfo, gridder: Gridder, x: float, y: float, points: int = POINTS) -> Spectrum:
    """Measure the spectrum at a position of the image; parts of the band without data are left out.

    Parameters
    ----------
    ms : gives the pointing at each integration.
    gridder : visibilities with imaging weights, and the geometry of the image.
    x, y : pixels.
    points : parts of the band.
    """
    l, m = (gridder.size // 2 - x) * gridder.pixel_rad, (y - gridder.size // 2) * gridder.pixel_rad  # noqa: E741
    sums, squares, total = _sum_phased(gridder, np.array([l, m, np.sqrt(1 - l * l - m * m) - 1]))
    freqs_hz = gridder.visibilities.freqs_hz
    parts = [part for part in np.array_split(np.arange(freqs_hz.size), min(points, freqs_hz.size)) if total[part].any()]
    weights = np.array([total[part].sum() for part in parts])
    mean_hz = np.array([freqs_hz[part] @ total[part] for part in parts]) / weights
    pointing = unit_vectors(*ms.pointing_rad.T)
    separation_rad = np.arccos(np.clip(pointing @ sin_deproject(l, m, ms.phase_centre_rad), -1, 1))
    return Spectrum(
        freqs_hz=mean_hz,
        apparent_jy=np.array([sums[part].sum() for part in parts]) / weights,
        error_jy=np.sqrt(np.array([squares[part].sum() for part in parts])) / weights,
        pb=np.asarray(
            primary_beam(separation_rad[:, None], mean_hz[None, :], ms.dish_diameter_m, ms.mid_mjd).mean(axis=0)
        ),
    )


def _sum_phased(gridder: Gridder, lmn: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """By channel: the weighted sum of the real parts, of the squares of the imaginary parts, and of the weights."""
    data = gridder.visibilities
    sums, squares, total = np.zeros((3, data.freqs_hz.size))
    for start in range(0, data.uvw_m.shape[0], BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        turns = (data.uvw_m[rows] @ lmn)[:, None] * data.freqs_hz / C_M_S
        phased = gridder.weights[rows] * data.stokes_i[rows] * np.exp(-2j * np.pi * (turns % 1)).astype(np.complex64)
        sums += phased.real.sum(axis=0, dtype=np.float64)
        squares += np.square(phased.imag, dtype=np.float64).sum(axis=0)
        total += gridder.weights[rows].sum(axis=0, dtype=np.float64)
    return sums, squares, total
