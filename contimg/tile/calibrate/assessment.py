"""Measure a caltable set on disk and grade it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.arrays import Data, Mask, Slots
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.columns import read_blocks
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.quality import caltables as quality
from contimg.quality.caltables import CaltableSetNumbers, Residual, SolutionLimits
from contimg.quality.grades import REJECTED
from contimg.tile.calibrate.apply import compute_inverse_gains

_BLOCK_BYTES = 16 * 2**20


def measure_caltable_set(
    caltable_set: CaltableSet, live: Sequence[str], limits: SolutionLimits, *, phases: Path | None = None,
    ms: MSInfo | None = None, solving_set: Path | None = None, previous: CaltableSet | None = None,
) -> CaltableSetNumbers:  # fmt: skip
    """Measure a caltable set.

    Parameters
    ----------
    caltable_set : the set.
    live : names of the antennas that had unflagged data.
    limits : of them, `outlier_factor` is used.
    phases : a caltable of phases by the minute, for their scatter within the transit.
    ms, solving_set : what the set was solved on, for the residual.
    previous : an earlier set of the same declination strip and band, to compare with.

    Raises
    ------
    BadInput : a caltable is missing, unreadable or without any solution.
    """
    factor = limits.outlier_factor
    phase_change_deg, amplitude_change = _compare(caltable_set, ms, previous) if ms and previous else (None, None)
    inverse = compute_inverse_gains(caltable_set, ms) if ms and solving_set else None
    return CaltableSetNumbers(
        {path.name: quality.measure_caltable(read_solutions(path), live, factor) for path in caltable_set.paths},
        phase_scatter_deg=quality.measure_phase_scatter_deg(read_solutions(phases)) if phases else None,
        residual=measure_residual(solving_set, inverse) if solving_set and inverse is not None else None,
        previous=previous.name if previous and phase_change_deg is not None else None,
        phase_change_deg=phase_change_deg,
        amplitude_change=amplitude_change,
    )


def grade_or_reject(caltable_set: CaltableSet, numbers: CaltableSetNumbers, limits: SolutionLimits) -> CaltableSet:
    """Give the set with its numbers and grade.

    Parameters
    ----------
    caltable_set : the set; it is not changed.
    numbers : what was measured of it.
    limits : the limits in force.

    Returns
    -------
    A copy of the set with `quality`, `grade` and `reasons`.

    Raises
    ------
    BadInput : it is rejected, with the reasons.
    """
    grade = quality.grade_caltable_set(numbers, limits)
    if grade.grade == REJECTED:
        calibrator = f" on {caltable_set.calibrator}" if caltable_set.calibrator else ""
        raise BadInput(f"caltable set {caltable_set.name}{calibrator}: rejected: {'; '.join(grade.reasons)}")
    return replace(caltable_set, quality=numbers.as_dict(), grade=grade.grade, reasons=grade.reasons)


def _compare(caltable_set: CaltableSet, ms: MSInfo, previous: CaltableSet) -> tuple[float, float] | tuple[None, None]:
    try:
        ratio = compute_inverse_gains(previous, ms) / compute_inverse_gains(caltable_set, ms)
    except BadInput:
        return None, None  # an earlier set that is gone or damaged is no fault of this one
    phase_deg, amplitude = quality.measure_change(ratio, ms.antenna_names.index(caltable_set.reference_antenna))
    return (None, None) if np.isnan(phase_deg) else (phase_deg, amplitude)


def measure_residual(solving_set: Path, inverse: NDArray[np.complex64]) -> Residual:
    """Measure what remains of the calibrator: the data over the model, corrected, should be 1 everywhere.

    Parameters
    ----------
    solving_set : path of the Measurement Set that was solved on.
    inverse : inverse gains, shape (slots, channels, receptors).

    Returns
    -------
    The residual; NaN when no sample has a solution.
    """
    slots = len(inverse)
    sums, squares, counts = np.zeros((slots, slots), complex), np.zeros((slots, slots)), np.zeros((slots, slots))
    with open_table(solving_set) as main:
        ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        for rows, (data, flags) in read_blocks(main, ("DATA", "FLAG"), _BLOCK_BYTES):
            _accumulate_residuals(data, flags, ant1[rows], ant2[rows], inverse, sums, squares, counts)
    has_some = counts > 1
    if not has_some.any():
        return Residual(np.nan, np.nan, np.nan)
    mean, number = sums[has_some] / counts[has_some], counts[has_some]
    variance = np.maximum(squares[has_some] / number - np.abs(mean) ** 2, 0.0) * number / (number - 1)
    systematic = float(np.mean(np.abs(mean) ** 2 - variance / number))
    return Residual(
        fraction=float(np.sqrt(max(systematic, 0.0))),
        scale=float(1 + np.sum(sums[has_some].real) / np.sum(number)),
        scatter=float(np.sqrt(np.sum(squares[has_some]) / np.sum(number))),
    )


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _accumulate_residuals(
    data: Data, flags: Mask, ant1: Slots, ant2: Slots, inverse: Data, sums: NDArray[np.complex128],
    squares: NDArray[np.float64], counts: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add corrected data - 1, its square and the number of samples of each baseline to (slots, slots) arrays."""
    for row in range(data.shape[0]):
        i, j = ant1[row], ant2[row]
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                factor = inverse[i, channel, pol] * np.conj(inverse[j, channel, pol])
                if flags[row, channel, pol] or not (np.isfinite(factor.real) and np.isfinite(factor.imag)):
                    continue
                residual = complex(data[row, channel, pol] * factor) - 1.0
                sums[i, j] += residual
                squares[i, j] += residual.real**2 + residual.imag**2
                counts[i, j] += 1
