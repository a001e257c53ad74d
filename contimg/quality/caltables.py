"""Quality of a caltable set: numbers of each caltable and of the whole set, their limits, and the grade.

A rejected set is no product; the reasons with their numbers are the message of the error.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.options import Options, option
from contimg.formats.arrays import Mask
from contimg.quality.grades import REJECTED, Check, QualityGrade, grade_checks

if TYPE_CHECKING:  # the settings read the limits without casacore
    from contimg.formats.caltables.solutions import Solutions

_RECEPTORS = "XY"
_KINDS = {"bcal": "bandpass", "gcal": "gain", "kcal": "delay"}


class SolutionLimits(Options, env_prefix="CONTIMG_SOLUTIONS_"):
    """Limits of a caltable set's numbers: beyond `suspect_` it is suspect, beyond `reject_` no product is made."""

    suspect_flagged: float = option(0.2, "Flagged fraction that makes a set suspect", minimum=0.0, maximum=1.0)
    reject_flagged: float = option(0.7, "Flagged fraction above which a set is rejected", minimum=0.0, maximum=1.0)
    suspect_snr: float = option(10.0, "Median signal to noise of a table below which a set is suspect", minimum=0.0)
    reject_snr: float = option(3.0, "Median signal to noise below which a set is rejected", minimum=0.0)
    suspect_scatter_deg: float = option(20.0, "Rms of the phases that makes a set suspect", unit="deg", minimum=0.0)
    reject_scatter_deg: float = option(60.0, "Rms of the phases above which a set is rejected", unit="deg", minimum=0.0)
    suspect_outliers: float = option(0.15, "Fraction of outlying receptors that makes a set suspect", minimum=0.0)
    reject_outliers: float = option(0.5, "Fraction of outlying receptors above which a set is rejected", minimum=0.0)
    outlier_factor: float = option(3.0, "Factor from the array's median amplitude that makes an outlier", minimum=1.0)
    suspect_imbalance: float = option(
        0.05, "Change of the ratio of the two hands' gains since the set before that makes a set suspect", minimum=0.0
    )
    suspect_residual: float = option(0.15, "Residual over the flux that makes a set suspect", minimum=0.0)
    reject_residual: float = option(0.5, "Residual above which a set is rejected", minimum=0.0)
    min_data_fraction: float = option(
        0.3, "Fraction of its data below which a solution is not used", minimum=0.0, maximum=1.0
    )
    # Never by default: a restarted correlator turns all phases, and the new set is then the correct one.
    suspect_change_deg: float = option(
        180.0, "Rms phase change that makes a set suspect; 180: never", unit="deg", minimum=0.0, maximum=180.0
    )


@dataclass(frozen=True)
class CaltableNumbers:
    """Numbers of one caltable. Antennas are named; a receptor is an antenna's name and X or Y.

    Attributes
    ----------
    antennas : number of the antennas that had data.
    flagged_fraction : of the solutions of these antennas.
    snr : median signal to noise of the solutions; 0 where there is none, None of values that were not solved for.
    amplitude : median of all amplitudes.
    without_solution : antennas that had data and have no solution: they show no fringes of the calibrator.
    dead_receptors : receptors without a solution whose antenna has solutions.
    outliers : receptors whose median amplitude is far from the array's.
    outlier_fraction : number of outliers over the receptors with solutions.
    data_fraction : median fraction of its data that a solution rests on; None where the caltable has none.
    sparse_fraction : of the solutions of the antennas that had data, those that rest on too small a fraction of it;
        they are flagged or interpolated.
    chi2 : median chi squared per degree of freedom of the solutions, 1 where the residuals are thermal noise; None
        where it was not computed.
    """

    flagged_fraction: float
    snr: float | None
    amplitude: float
    without_solution: tuple[str, ...]
    dead_receptors: tuple[str, ...]
    outliers: tuple[str, ...]
    outlier_fraction: float
    data_fraction: float | None = None
    sparse_fraction: float | None = None
    antennas: int = 0
    chi2: float | None = None


@dataclass(frozen=True)
class CaltableSetNumbers:
    """Numbers of a caltable set; None where it was not measured.

    Attributes
    ----------
    caltables : numbers of each caltable, by file name.
    uncovered_fraction : of the bandpass's channels, those in no window of the gains or delays.
    phase_scatter_deg : rms of the phases within the transit, degrees.
    residual_fraction : rms over baselines of the mean residual as a part of the calibrator's flux, with the noise
        subtracted in quadrature.
    residual_scale : mean of the corrected visibilities, real part; 1 when the fluxes are right.
    residual_scatter : rms of single cells (a minute and a channel), mostly noise.
    previous : name of the earlier set that this one is compared with.
    phase_change_deg, amplitude_change : rms of the phases (degrees) and median ratio of the amplitudes against it.
    hand_ratio, hand_ratio_change : median of |g_X|² / |g_Y|² over antennas and channels, and over that of the earlier
        set, for the antennas and channels of both. The receivers need not be alike, but they stay as they are.
    """

    caltables: dict[str, CaltableNumbers]
    phase_scatter_deg: float | None = None
    residual_fraction: float | None = None
    residual_scale: float | None = None
    residual_scatter: float | None = None
    previous: str | None = None
    phase_change_deg: float | None = None
    amplitude_change: float | None = None
    uncovered_fraction: float | None = None
    hand_ratio: float | None = None
    hand_ratio_change: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the numbers as set.json keeps them, unknown ones left out; `bandpass_snr` and the like come first."""
        numbers = asdict(self)
        tables = numbers.pop("caltables")
        leading = {
            f"{_KINDS.get(name.rpartition('.')[2], name)}_{key}": table[key]
            for name, table in tables.items()
            for key in ("snr", "chi2", "amplitude", "data_fraction", "sparse_fraction")
            if table[key] is not None
        }
        measured = {key: value for key, value in numbers.items() if value is not None}
        plain: dict[str, Any] = json.loads(json.dumps({**measured, **leading, "tables": tables}))  # lists, not tuples
        return plain


def measure_caltable(solutions: "Solutions", live: Sequence[str], limits: SolutionLimits) -> CaltableNumbers:
    """Measure one caltable.

    Parameters
    ----------
    solutions : its contents.
    live : names of the antennas that had unflagged data.
    limits : of them, `outlier_factor` and `min_data_fraction` are used.
    """
    solutions = solutions.select_antennas(live)
    gains, solved = solutions.gains, solutions.solved
    has_some: Mask = np.asarray(solved.any(axis=(0, 2)))
    with np.errstate(all="ignore"):
        typical = finite_median(np.abs(gains), axis=(0, 2))
        ratio = typical / finite_median(typical, axis=0)
    outlying = has_some & ((ratio > limits.outlier_factor) | (ratio < 1 / limits.outlier_factor))
    fractions = solutions.data_fractions
    has_fractions = bool(np.isfinite(fractions).any())
    known_snr = solutions.snr[solved & (solutions.snr > 0)]
    snr = float(np.median(known_snr)) if known_snr.size else None if solutions.delays_s is not None else 0.0
    return CaltableNumbers(
        flagged_fraction=float(1 - solved.mean()) if solved.size else 1.0,
        snr=None if solutions.is_timeless else snr,  # CASA's gencal writes 1
        amplitude=float(np.median(np.abs(gains[solved]))) if solved.any() else float("nan"),
        without_solution=tuple(live[slot] for slot in np.flatnonzero(~has_some.any(axis=1))),
        dead_receptors=_name_receptors(live, ~has_some & has_some.any(axis=1, keepdims=True)),
        outliers=_name_receptors(live, outlying),
        outlier_fraction=float(outlying.sum() / max(has_some.sum(), 1)),
        data_fraction=float(np.nanmedian(fractions)) if has_fractions else None,
        sparse_fraction=float(np.mean((fractions > 0) & (fractions < limits.min_data_fraction)))
        if has_fractions
        else None,
        antennas=len(live),
    )


def measure_hand_ratio(inverse: NDArray[np.complex64]) -> float | None:
    """Measure the ratio of the two hands in gains: the median of |g_X|² / |g_Y|².

    Parameters
    ----------
    inverse : inverse gains, shape (..., receptors), NaN without a solution; or the ratio of two sets' inverse gains.

    Returns
    -------
    The ratio; None where no antenna and channel has both receptors.
    """
    if inverse.shape[-1] != len(_RECEPTORS):
        return None
    with np.errstate(all="ignore"):
        ratio = np.abs(inverse[..., 1]) ** 2 / np.abs(inverse[..., 0]) ** 2
    finite = ratio[np.isfinite(ratio)]
    return float(np.median(finite)) if finite.size else None


def measure_phase_scatter_deg(phases: "Solutions") -> float:
    """Measure the rms of a transit's phases about each antenna's mean, in degrees.

    Parameters
    ----------
    phases : solutions by the minute, gains of shape (times, slots, channels, receptors).
    """
    mean = np.nansum(phases.gains, axis=0, keepdims=True)
    turned = np.angle(phases.gains * np.conj(mean))[phases.solved]
    return float(np.rad2deg(np.sqrt(np.mean(turned**2))))


def measure_change(ratio: NDArray[np.complex64], reference: int) -> tuple[float, float]:
    """Measure the change between two sets: rms phase (degrees) and median amplitude; NaN where none compare.

    Parameters
    ----------
    ratio : new over old gains, shape (slots, channels, receptors).
    reference : slot of the antenna that the phases are referred to, for the sets may have different ones; without
        its solutions they are referred to the array's mean.
    """
    with np.errstate(all="ignore"):
        unit = ratio / np.abs(ratio)
    referred = unit[reference] if np.isfinite(unit[reference]).any() else np.nansum(unit, axis=0)
    turned = np.angle((unit * np.conj(referred))[np.arange(len(unit)) != reference])
    turned, sizes = turned[np.isfinite(turned)], np.abs(ratio)[np.isfinite(ratio)]
    if not turned.size:
        return float("nan"), float("nan")
    return float(np.rad2deg(np.sqrt(np.mean(turned**2)))), float(np.median(sizes))


def grade_caltable_set(numbers: CaltableSetNumbers, limits: SolutionLimits) -> QualityGrade:
    """Grade a caltable set: good, suspect or rejected, with the reasons.

    Parameters
    ----------
    numbers : what was measured of the set.
    limits : the limits in force.
    """
    return grade_checks(check_caltable_set(numbers, limits), worst=REJECTED)


def check_caltable_set(numbers: CaltableSetNumbers, limits: SolutionLimits) -> list[Check]:
    """Check the numbers of a caltable set against the limits in force.

    Parameters
    ----------
    numbers : what was measured of the set; numbers that are None are never out of limits.
    limits : the limits in force.

    Returns
    -------
    The checks of each caltable, then those of the whole set.
    """
    flagged_limits: Any = {"high": limits.suspect_flagged, "bad_high": limits.reject_flagged, "unit": "fraction"}
    checks = []
    for name, caltable in numbers.caltables.items():
        kind = name.rpartition(".")[2]
        sparse = caltable.sparse_fraction
        flagged, outliers = caltable.flagged_fraction, caltable.outlier_fraction
        unsolved = caltable.without_solution
        missing = (
            f"; {len(unsolved)} of {caltable.antennas} live antennas have no solution: {', '.join(unsolved)}"
            if unsolved
            else ""
        )
        checks += [
            Check(f"{kind}: flagged", flagged,
                  f"{kind}: {flagged:.0%} of the live antennas' solutions missing or flagged{missing}",
                  **flagged_limits),
            Check(f"{kind}: sparse", sparse, f"{kind}: {sparse or 0:.0%} of the live antennas' solutions rest on less "
                  f"than {limits.min_data_fraction:.0%} of their data",
                  **flagged_limits),
            Check(f"{kind}: outliers", outliers, f"{kind}: {outliers:.0%} of the receptors have an outlying amplitude",
                  high=limits.suspect_outliers, bad_high=limits.reject_outliers, unit="fraction"),
            Check(f"{kind}: snr", caltable.snr, f"{kind}: median signal to noise {caltable.snr or 0:.1f}",
                  low=limits.suspect_snr, bad_low=limits.reject_snr),
        ]  # fmt: skip
    scatter, turned, residual = numbers.phase_scatter_deg, numbers.phase_change_deg, numbers.residual_fraction
    uncovered, imbalance = numbers.uncovered_fraction, numbers.hand_ratio_change
    max_ratio = 1 + limits.suspect_imbalance
    return [
        *checks,
        Check("uncovered channels", uncovered, f"{uncovered or 0:.0%} of the bandpass's channels are in no window of "
              "the other caltables", **flagged_limits),
        Check("phase scatter", scatter, f"phases scatter by {scatter or 0:.1f} deg within the transit",
              high=limits.suspect_scatter_deg, bad_high=limits.reject_scatter_deg, unit="deg"),
        Check("residual", residual, f"{residual or 0:.0%} of the calibrator is left after correction",
              high=limits.suspect_residual, bad_high=limits.reject_residual, unit="fraction"),
        Check("change of X over Y", imbalance, f"gains of X over those of Y, squared, are {imbalance or 0:.3f} times "
              f"those of {numbers.previous}", low=1 / max_ratio, high=max_ratio),
        Check("phase change", turned, f"phases turned by {turned or 0:.0f} deg since {numbers.previous}",
              high=limits.suspect_change_deg, unit="deg"),
    ]  # fmt: skip


def _name_receptors(names: Sequence[str], hit: NDArray[np.bool_]) -> tuple[str, ...]:
    letters = _RECEPTORS if hit.shape[1] == len(_RECEPTORS) else "I"
    return tuple(f"{names[slot]} {letters[receptor]}" for slot, receptor in np.argwhere(hit))


def finite_median(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Take the median of the finite values along `axis`; NaN where there are none, without NumPy's warning.

    Parameters
    ----------
    values : any shape; NaN where a value is missing.
    axis : one axis or several.

    Returns
    -------
    The medians, in the shape of `values` without these axes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), dtype=np.float64)
