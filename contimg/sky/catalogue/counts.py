"""Check of a catalogue's fluxes against the source counts: a wrong unit shows as a factor of 1000."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.sky.catalogue.pixels import NSIDE

COUNTS_HZ = 1.4e9
# N(>S) per square degree (Condon et al. 1998, AJ 115, 1693; White et al. 1997, ApJ 475, 479).
COUNTS_MJY = np.array([1.0, 2.5, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 3000.0])
COUNTS_PER_DEG2 = np.array([105.0, 52.0, 30.0, 17.6, 9.6, 4.0, 1.9, 0.8, 0.2, 0.065, 0.012])
MIN_SOURCES = 50  # below which counts say little
MAX_RATIO = 10.0  # of fluxes to those of the counts: clustering and small fields stay below, a wrong unit is above
_MIN_RANK = 10  # brighter sources are too few for a density
_RANKS = 10_000  # of the sources whose fluxes are compared, evenly spaced
_MIN_OCCUPANCY = 10.0  # sources in a pixel with sources, so that empty pixels are outside the catalogue


@dataclass(frozen=True)
class CountCheck:
    """Fluxes of a catalogue against those of the counts.

    Attributes
    ----------
    ratio : flux over the flux at which the counts have the same density, median; None with too few sources.
    area_deg2 : area that holds sources.
    """

    ratio: float | None
    area_deg2: float

    @property
    def is_plausible(self) -> bool:
        """Whether the ratio is within the limits, or not known."""
        return self.ratio is None or 1 / MAX_RATIO < self.ratio < MAX_RATIO


def check_counts(
    flux_jy: NDArray[np.float64], pixel_counts: NDArray[np.int64], frequency_hz: float, spectral_index: float
) -> CountCheck:
    """Compare the fluxes of a catalogue with the source counts at 1.4 GHz.

    Parameters
    ----------
    flux_jy : shape (sources,); it is sorted.
    pixel_counts : number of sources in each index pixel, shape (12 nside²,).
    frequency_hz : of the fluxes.
    spectral_index : that scales the counts to this frequency.
    """
    area_deg2 = _covered_area_deg2(pixel_counts)
    if len(flux_jy) < MIN_SOURCES:
        return CountCheck(None, area_deg2)
    flux_jy.sort()
    last = min(len(flux_jy) - 1, int(COUNTS_PER_DEG2[0] * area_deg2) - 1)
    ranks = np.unique(np.linspace(_MIN_RANK, max(last, _MIN_RANK), _RANKS).astype(np.int64))
    brightest_first, density = flux_jy[len(flux_jy) - 1 - ranks], (ranks + 1) / area_deg2
    is_used = (density <= COUNTS_PER_DEG2[0]) & (density >= COUNTS_PER_DEG2[-1]) & (brightest_first > 0)
    if not is_used.any():
        return CountCheck(None, area_deg2)
    logs = np.interp(-np.log(density[is_used]), -np.log(COUNTS_PER_DEG2), np.log(COUNTS_MJY))
    expected_jy = 1e-3 * np.exp(logs) * (frequency_hz / COUNTS_HZ) ** spectral_index
    return CountCheck(float(np.median(brightest_first[is_used] / expected_jy)), area_deg2)


def _covered_area_deg2(pixel_counts: NDArray[np.int64]) -> float:
    """Area at the median density of the pixels with sources, of the finest resolution at which they hold enough.

    The pixels at the edge of the catalogue, which are partly outside, do not count with their whole area.
    """
    nside = NSIDE
    while True:
        counts = pixel_counts.reshape(12 * nside**2, -1).sum(axis=1)
        counts = counts[counts > 0]
        if nside == 1 or (len(counts) and counts.mean() >= _MIN_OCCUPANCY):
            return int(counts.sum()) / float(np.median(counts)) * 4 * np.pi * (180 / np.pi) ** 2 / (12 * nside**2)
        nside //= 2


def format_ratio(ratio: float) -> str:
    """Format a ratio of fluxes: `0.0011`, `1.02`, `1045`.

    Parameters
    ----------
    ratio : the number.
    """
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"
