"""Quality of a caltable set: numbers of each caltable and of the whole set, their limits, and the grade.

A rejected set is no product; the reasons with their numbers are the message of the error.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.formats.caltables.solutions import Solutions
from contimg.options import Options, option
from contimg.quality.grades import REJECTED, Check, QualityGrade, grade_checks

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
    suspect_residual: float = option(0.15, "Residual over the flux that makes a set suspect", minimum=0.0)
    reject_residual: float = option(0.5, "Residual above which a set is rejected", minimum=0.0)
    # Never by default: a restarted correlator turns all phases, and the new set is then the correct one.
    suspect_change_deg: float = option(
        180.0, "Rms phase change that makes a set suspect; 180: never", unit="deg", minimum=0.0, maximum=180.0
    )


@dataclass(frozen=True)
class CaltableNumbers:
    """Numbers of one caltable. Antennas are named; a receptor is an antenna's name and X or Y.

    Attributes
    ----------
    flagged_fraction : of the solutions of the antennas that had data.
    snr : median signal to noise of the solutions; 0 where the caltable has none.
    amplitude : median of all amplitudes.
    without_solution : antennas that had data and have no solution: they show no fringes of the calibrator.
    dead_receptors : receptors without a solution whose antenna has solutions.
    outliers : receptors whose median amplitude is far from the array's.
    outlier_fraction : number of outliers over the receptors with solutions.
    """

    flagged_fraction: float
    snr: float
    amplitude: float
    without_solution: tuple[str, ...]
    dead_receptors: tuple[str, ...]
    outliers: tuple[str, ...]
    outlier_fraction: float


@dataclass(frozen=True)
class Residual:
    """Systematic errors as parts of the calibrator's flux, with the noise subtracted in quadrature.

    Attributes
    ----------
    fraction : rms over baselines of the mean residual.
    scale : mean of the corrected visibilities, real part; 1 when the fluxes are right.
    scatter : rms of single cells (a minute and a channel), mostly noise.
    """

    fraction: float
    scale: float
    scatter: float


@dataclass(frozen=True)
class CaltableSetNumbers:
    """Numbers of a caltable set.

    Attributes
    ----------
    caltables : numbers of each caltable, by file name.
    phase_scatter_deg : rms of the phases within the transit, degrees.
    residual : what remains of the calibrator after correction.
    previous : name of the earlier set that this one is compared with.
    phase_change_deg, amplitude_change : rms of the phases (degrees) and median ratio of the amplitudes against it.
    """

    caltables: dict[str, CaltableNumbers]
    phase_scatter_deg: float | None
    residual: Residual | None
    previous: str | None = None
    phase_change_deg: float | None = None
    amplitude_change: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the numbers as set.json keeps them, unknown ones left out; `bandpass_snr` and the like come first."""
        leading = {
            f"{_KINDS.get(name.rpartition('.')[2], name)}_{key}": getattr(numbers, key)
            for name, numbers in self.caltables.items()
            for key in ("snr", "amplitude")
        }
        residual = {f"residual_{key}": value for key, value in asdict(self.residual).items()} if self.residual else {}
        own = {
            key: getattr(self, key) for key in ("phase_scatter_deg", "previous", "phase_change_deg", "amplitude_change")
        }
        known = {key: value for key, value in {**own, **leading, **residual}.items() if value is not None}
        tables = {name: asdict(numbers) for name, numbers in self.caltables.items()}
        plain: dict[str, Any] = json.loads(json.dumps({**known, "tables": tables}))  # lists instead of tuples
        return plain


def measure_caltable(solutions: Solutions, live: Sequence[str], outlier_factor: float) -> CaltableNumbers:
    """Measure one caltable.

    Parameters
    ----------
    solutions : its contents.
    live : names of the antennas that had unflagged data.
    outlier_factor : amplitude over or under the array's median that makes an outlier.
    """
    live_slots = [slot for slot, name in enumerate(solutions.antenna_names) if name in set(live)]
    slots = np.array(live_slots, dtype=np.int64)
    gains, names = solutions.gains[:, slots], [solutions.antenna_names[slot] for slot in slots]
    solved = np.isfinite(gains.real) & np.isfinite(gains.imag)
    has_some = solved.any(axis=(0, 2))
    with np.errstate(all="ignore"):
        typical = finite_median(np.abs(gains), axis=(0, 2))
        ratio = typical / finite_median(typical, axis=0)
    outlying = has_some & ((ratio > outlier_factor) | (ratio < 1 / outlier_factor))
    snr = solutions.snr[:, slots][solved]
    return CaltableNumbers(
        flagged_fraction=float(1 - solved.mean()) if solved.size else 1.0,
        snr=float(np.median(snr[snr > 0])) if (snr > 0).any() else 0.0,
        amplitude=float(np.median(np.abs(gains[solved]))) if solved.any() else float("nan"),
        without_solution=tuple(name for name, some in zip(names, has_some.any(axis=1), strict=True) if not some),
        dead_receptors=_name_receptors(names, ~has_some & has_some.any(axis=1, keepdims=True)),
        outliers=_name_receptors(names, outlying),
        outlier_fraction=float(outlying.sum() / max(has_some.sum(), 1)),
    )


def measure_phase_scatter_deg(phases: Solutions) -> float:
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
    checks = []
    for name, caltable in numbers.caltables.items():
        kind = name.rpartition(".")[2]
        flagged, outliers = caltable.flagged_fraction, caltable.outlier_fraction
        checks += [
            Check(f"{kind}: flagged", flagged, f"{kind}: {flagged:.0%} of the live antennas' solutions flagged",
                  high=limits.suspect_flagged, bad_high=limits.reject_flagged, unit="fraction"),
            Check(f"{kind}: outliers", outliers, f"{kind}: {outliers:.0%} of the receptors have an outlying amplitude",
                  high=limits.suspect_outliers, bad_high=limits.reject_outliers, unit="fraction"),
        ]  # fmt: skip
        if kind != "kcal" or caltable.snr > 0:  # CASA may give none for delays
            reason = f"{kind}: median signal to noise {caltable.snr:.1f}"
            snr = Check(f"{kind}: snr", caltable.snr, reason, low=limits.suspect_snr, bad_low=limits.reject_snr)
            checks.append(snr)
    scatter, turned = numbers.phase_scatter_deg, numbers.phase_change_deg
    left = numbers.residual.fraction if numbers.residual else None
    return [
        *checks,
        Check("phase scatter", scatter, f"phases scatter by {scatter or 0:.1f} deg within the transit",
              high=limits.suspect_scatter_deg, bad_high=limits.reject_scatter_deg, unit="deg"),
        Check("residual", left, f"{left or 0:.0%} of the calibrator is left after correction",
              high=limits.suspect_residual, bad_high=limits.reject_residual, unit="fraction"),
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
