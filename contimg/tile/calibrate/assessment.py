"""Describe, measure and grade a caltable set on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg import __version__
from contimg.common.errors import BadInput
from contimg.formats.arrays import Data, Slots
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import Solutions, read_solutions
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.instrument.time import DAY_S
from contimg.quality import caltables as quality
from contimg.quality.caltables import CaltableSetNumbers, SolutionLimits
from contimg.quality.grades import REJECTED
from contimg.tile.calibrate.apply import compute_inverse_gains
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve.solving_data import SolvingData


def describe(
    name: str, directory: Path, tables: tuple[str, ...], options: CalibrateOptions, live: Sequence[str]
) -> CaltableSet:
    """Describe caltables as a set: everything but their calibrator, its flux and declination, and the grade.

    Parameters
    ----------
    name, directory, tables : of the set, as its attributes; the bandpass is the first caltable.
    options : of them, the validity is used.
    live : names of the antennas that should have solutions.

    Raises
    ------
    BadInput : a caltable is unreadable, or the bandpass has no times or no evenly spaced channels.
    """
    caltables = [read_solutions(directory / table_name) for table_name in tables]
    bandpass = caltables[0]
    if bandpass.is_timeless:
        raise BadInput(f"{directory / tables[0]}: its solutions have no TIME; a bandpass gives the set its validity")
    freqs_hz = bandpass.freqs_hz
    width_hz = float(np.median(np.diff(freqs_hz))) if freqs_hz.size > 1 else 0.0
    steps = np.diff(freqs_hz) / width_hz if width_hz > 0 else np.zeros(1)
    if width_hz <= 0 or np.abs(steps - np.rint(steps)).max() > 0.01 or steps.min() < 0.5:
        raise BadInput(f"{directory / tables[0]}: its windows do not make one band of evenly spaced channels")
    timed = [solutions.times_mjd_s.ravel() for solutions in caltables if not solutions.is_timeless]
    times_mjd = np.concatenate(timed) / DAY_S
    gain_times_mjd = timed[-1] / DAY_S  # the bandpass's where no gains or delays are timed
    with open_table(directory / tables[0]) as main:
        references = main.getcol("ANTENNA2")
    reference = int(np.bincount(references[references >= 0]).argmax()) if (references >= 0).any() else -1
    described = CaltableSet(
        name=name, directory=directory, tables=tables, calibrator="", model_jy=float("nan"),
        flux_scale="as imported", attenuation=float("nan"), mjd=float(np.median(bandpass.times_mjd_s)) / DAY_S,
        valid_from_mjd=float(times_mjd.min()) - options.bandpass_hours_before / 24.0,
        valid_to_mjd=float(times_mjd.max()) + options.bandpass_hours_after / 24.0,
        gains_valid_from_mjd=float(gain_times_mjd.min()) - options.gains_hours / 24.0,
        gains_valid_to_mjd=float(gain_times_mjd.max()) + options.gains_hours / 24.0,
        reference_antenna=bandpass.antenna_names[reference] if reference >= 0 else "", antennas=(),
        first_freq_hz=float(freqs_hz[0]), channel_width_hz=width_hz,
        channels=1 + round(float(freqs_hz[-1] - freqs_hz[0]) / width_hz), flagged_fraction=1.0,
        quality={}, versions={"contimg": __version__}, dec_deg=0.0,
    )  # fmt: skip
    solved = np.isfinite(read_gains(described, live)[1])
    if not solved.any():
        raise BadInput(f"{directory}: no antenna and channel has a solution in every one of {', '.join(tables)}")
    antennas = tuple(
        name for name, has_solution in zip(live, np.atleast_1d(solved.any(axis=(1, 2))), strict=True) if has_solution
    )
    return replace(described, antennas=antennas, flagged_fraction=float(1.0 - solved.mean()))


def find_solved_antennas(caltables: Sequence[Solutions]) -> list[str]:
    """Find the antennas that have a solution in any of these caltables, by name.

    Parameters
    ----------
    caltables : their contents.
    """
    names = []
    for solutions in caltables:
        solved = np.flatnonzero(solutions.solved.any(axis=(0, 2, 3)))
        names += [solutions.antenna_names[slot] for slot in solved]
    return list(dict.fromkeys(names))


def read_gains(caltable_set: CaltableSet, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Read the gains of a set at the time of its bandpass: the product of those of all its caltables.

    Parameters
    ----------
    caltable_set : the set.
    names : of the antennas wanted.

    Returns
    -------
    The bandpass's channels (Hz), and the gains, shape (names, channels, receptors); NaN without a solution.

    Raises
    ------
    BadInput : a caltable is missing, unreadable or without any solution.
    """
    caltables = [read_solutions(path) for path in caltable_set.paths]
    freqs_hz, time_mjd_s = caltables[0].freqs_hz, DAY_S * caltable_set.mjd
    gains = [solutions.select_antennas(names).interpolate(time_mjd_s, freqs_hz) for solutions in caltables]
    return freqs_hz, np.prod(gains, axis=0)


def measure_caltable_set(
    caltable_set: CaltableSet, live: Sequence[str], limits: SolutionLimits, *, phases: Path | None = None,
    ms: MSInfo | None = None, solving_data: SolvingData | None = None, previous: CaltableSet | None = None,
    chi2: Mapping[str, float] | None = None,
) -> CaltableSetNumbers:  # fmt: skip
    """Measure a caltable set.

    Parameters
    ----------
    caltable_set : the set.
    live : names of the antennas that had unflagged data.
    limits : of them, `outlier_factor` and `min_data_fraction` are used.
    phases : a caltable of phases by the minute, for their scatter within the transit.
    ms, solving_data : what the set was solved on, for the residual.
    previous : an earlier set of the same declination strip and band, to compare with.
    chi2 : chi squared of caltables, by file name, as of CaltableNumbers.

    Raises
    ------
    BadInput : a caltable is missing, unreadable or without any solution.
    """
    inverse = compute_inverse_gains(caltable_set, ms) if ms else None
    changes = _compare(caltable_set, inverse, ms, previous) if ms and previous and inverse is not None else {}
    caltables = {path.name: quality.measure_caltable(read_solutions(path), live, limits) for path in caltable_set.paths}
    return CaltableSetNumbers(
        {name: replace(caltable, chi2=(chi2 or {}).get(name)) for name, caltable in caltables.items()},
        uncovered_fraction=_measure_uncovered(caltable_set, live),
        phase_scatter_deg=quality.measure_phase_scatter_deg(read_solutions(phases)) if phases else None,
        **measure_residual(solving_data, inverse) if solving_data and inverse is not None else {},
        previous=previous.name if previous and changes else None,
        hand_ratio=None if inverse is None else quality.measure_hand_ratio(inverse),
        **changes,
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


def _measure_uncovered(caltable_set: CaltableSet, live: Sequence[str]) -> float:
    """Measure the fraction of the bandpass's channels that lie in no window of another caltable."""
    bandpass, *gain_tables = (read_solutions(path).select_antennas(live) for path in caltable_set.paths)
    freqs_hz = bandpass.freqs_hz[bandpass.solved.any(axis=(0, 1, 3))]
    is_covered = np.all(
        [np.ones(freqs_hz.size, dtype=bool), *(gains.covers(freqs_hz) for gains in gain_tables)], axis=0
    )
    return float(1.0 - is_covered.mean()) if freqs_hz.size else 1.0


def _compare(
    caltable_set: CaltableSet, inverse: Data, ms: MSInfo, previous: CaltableSet
) -> dict[str, Any]:  # fmt: skip
    """Compare a set, of these inverse gains, with an earlier one; empty where they have nothing in common."""
    try:
        ratio = compute_inverse_gains(previous, ms) / inverse
    except BadInput:
        return {}  # an earlier set that is gone or damaged is no fault of this one
    phase_deg, amplitude = quality.measure_change(ratio, ms.antenna_names.index(caltable_set.reference_antenna))
    if np.isnan(phase_deg):
        return {}
    change = quality.measure_hand_ratio(1 / ratio)
    return {"phase_change_deg": phase_deg, "amplitude_change": amplitude, "hand_ratio_change": change}


def measure_residual(data: SolvingData, inverse: NDArray[np.complex64]) -> dict[str, float]:
    """Measure what remains of the calibrator: the data over the model, corrected, should be 1 everywhere.

    Parameters
    ----------
    data : what was solved on.
    inverse : inverse gains, shape (slots, channels, receptors).

    Returns
    -------
    `residual_fraction`, `residual_scale` and `residual_scatter`, as of CaltableSetNumbers; NaN when no sample has a
    solution.
    """
    slots = len(inverse)
    sums, squares, counts = np.zeros((slots, slots), complex), np.zeros((slots, slots)), np.zeros((slots, slots))
    for visibilities, weights in zip(data.visibilities, data.weights, strict=True):
        _accumulate_residuals(visibilities, weights, data.ant1, data.ant2, inverse, sums, squares, counts)
    has_some = counts > 1
    if not has_some.any():
        return dict.fromkeys(("residual_fraction", "residual_scale", "residual_scatter"), np.nan)
    mean, number = sums[has_some] / counts[has_some], counts[has_some]
    variance = np.maximum(squares[has_some] / number - np.abs(mean) ** 2, 0.0) * number / (number - 1)
    systematic = float(np.mean(np.abs(mean) ** 2 - variance / number))
    return {
        "residual_fraction": float(np.sqrt(max(systematic, 0.0))),
        "residual_scale": float(1 + np.sum(sums[has_some].real) / np.sum(number)),
        "residual_scatter": float(np.sqrt(np.sum(squares[has_some]) / np.sum(number))),
    }


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _accumulate_residuals(
    data: Data, weights: NDArray[np.float32], ant1: Slots, ant2: Slots, inverse: Data, sums: NDArray[np.complex128],
    squares: NDArray[np.float64], counts: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add corrected data - 1, its square and the number of samples of each baseline to (slots, slots) arrays."""
    for row in range(data.shape[0]):
        i, j = ant1[row], ant2[row]
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                factor = inverse[i, channel, pol] * np.conj(inverse[j, channel, pol])
                if weights[row, channel, pol] <= 0 or not (np.isfinite(factor.real) and np.isfinite(factor.imag)):
                    continue
                residual = complex(data[row, channel, pol] * factor) - 1.0
                sums[i, j] += residual
                squares[i, j] += residual.real**2 + residual.imag**2
                counts[i, j] += 1
