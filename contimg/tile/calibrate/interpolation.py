"""Gains between two caltable sets: amplitude and phase are linear in time from one to the other, the bandpass stays.

The change from the first set to the second is one complex factor per antenna and receptor, the mean over the channels
of the ratio of their gains, so that the split of a set into bandpass and gains does not matter.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_solutions
from contimg.instrument.time import DAY_S
from contimg.quality.caltables import finite_median

MAX_CHANGE_DEG = 60.0  # rms over antennas; beyond it the shorter arc need not be the way that the phases went
MIN_COHERENCE = 0.7  # of a change over the channels; below it the delays have changed


@dataclass(frozen=True)
class GainChange:
    """Change of the gains from one caltable set to another.

    Attributes
    ----------
    amplitude : ratio of the amplitudes, shape (slots, receptors); 1 where a set has no solution.
    phase_rad : change of the phases by the shorter arc, the same shape; 0 where a set has no solution.
    rms_deg : rms of the changes of phase, degrees; NaN where the sets have no solution in common.
    coherence : median over antennas of the coherence of the change over the channels, 0 to 1.
    """

    amplitude: NDArray[np.float64]
    phase_rad: NDArray[np.float64]
    rms_deg: float
    coherence: float

    @property
    def problem(self) -> str:
        """Why gains between the sets cannot be interpolated; empty where they can."""
        if not np.isfinite(self.rms_deg):
            return "no solution in common"
        if self.coherence < MIN_COHERENCE:
            return "the delays have changed"
        if self.rms_deg > MAX_CHANGE_DEG:
            return f"the phases differ by {self.rms_deg:.0f} deg (limit {MAX_CHANGE_DEG:g})"
        return ""

    def gains_at(self, part: float) -> NDArray[np.complex128]:
        """Compute the change of the gains at a part of the way from the first set to the second.

        Parameters
        ----------
        part : 0 at the first set, 1 at the second.

        Returns
        -------
        Factors of the first set's gains, shape (slots, receptors).
        """
        return np.asarray((1.0 + part * (self.amplitude - 1.0)) * np.exp(1j * part * self.phase_rad))


def measure_gain_change(first_inverse: Data, second_inverse: Data, reference: int) -> GainChange:
    """Measure the change of the gains from one caltable set to another.

    Parameters
    ----------
    first_inverse, second_inverse : inverse gains, shape (slots, channels, receptors); NaN without a solution.
    reference : slot of the antenna that the phases are referred to, for the sets may have different ones; without
        its solutions, or below 0, they are referred to the array's mean.
    """
    with np.errstate(all="ignore"):
        ratio = first_inverse.astype(np.complex128) / second_inverse
        unit = ratio / np.abs(ratio)
    shared = np.isfinite(unit)
    counts = shared.sum(axis=1)
    mean = np.where(shared, unit, 0.0).sum(axis=1) / np.maximum(counts, 1)
    origin = mean[reference] if reference >= 0 and counts[reference].all() else mean.sum(axis=0)
    has_some = counts > 0
    phase_rad = np.where(has_some, np.angle(mean * np.conj(origin)), 0.0)
    moving = has_some.copy()
    if reference >= 0:
        moving[reference] = False
    amplitude = finite_median(np.where(shared, np.abs(ratio), np.nan), axis=1)
    if not moving.any():
        return GainChange(np.ones_like(phase_rad), np.zeros_like(phase_rad), float("nan"), 0.0)
    return GainChange(
        amplitude=np.where(has_some, amplitude, 1.0), phase_rad=phase_rad,
        rms_deg=float(np.rad2deg(np.sqrt(np.mean(phase_rad[moving] ** 2)))),
        coherence=float(np.median(np.abs(mean[moving]))),
    )  # fmt: skip


def find_nearest_gain_mjd(caltable_set: CaltableSet, mjd: float) -> float:
    """Find the time at or between the gain solutions of a set that is nearest to a time.

    Parameters
    ----------
    caltable_set : its last caltable has the gains; one without times has those of the bandpass.
    mjd : days, UTC.

    Raises
    ------
    BadInput : the caltable is unreadable.
    """
    solutions = read_solutions(caltable_set.paths[-1])
    times_mjd = solutions.times_mjd_s / DAY_S
    return caltable_set.mjd if solutions.is_timeless else float(np.clip(mjd, times_mjd.min(), times_mjd.max()))
