"""How good a set of tables is: numbers per table and of the whole, held against limits, and a verdict.

A set that is rejected is no product; its verdict's numbers are the error that says so.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.formats.caltables import tables
from contimg.quality.image import GOOD, SUSPECT, Verdict
from contimg.tile.calibrate.assess.residual import Residual
from contimg.tile.calibrate.options import SolutionLimits

REJECTED = "rejected"
RECEPTORS = "XY"
DELAYS = "kcal"


@dataclass(frozen=True)
class TableNumbers:
    """One table. Antennas are named; a receptor is an antenna's name and X or Y.

    Attributes
    ----------
    flagged_fraction : of the solutions of the antennas that had data.
    snr : median signal to noise of the solutions.
    amplitude : median of all amplitudes.
    without_solution : antennas that had data and none of whose solutions holds: they do not see the calibrator.
    dead_receptors : one receptor without a solution while the other has some.
    outliers : receptors whose median amplitude is far from the array's.
    """

    flagged_fraction: float
    snr: float
    amplitude: float
    without_solution: tuple[str, ...]
    dead_receptors: tuple[str, ...]
    outliers: tuple[str, ...]
    outlier_fraction: float


@dataclass(frozen=True)
class SetNumbers:
    """A set: its tables by name, the phases' scatter within the transit, the change since `previous`, what is left.

    Angles are rms, degrees; `phase_change_deg` and `amplitude_change` (median ratio) are None without a previous set.
    """

    tables: dict[str, TableNumbers]
    phase_scatter_deg: float | None
    residual: Residual | None
    previous: str | None = None
    phase_change_deg: float | None = None
    amplitude_change: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for set.json, what is unknown left out; `bandpass_snr` and the like lead."""
        kinds = {"bcal": "bandpass", "gcal": "gain", DELAYS: "delay"}
        leading = {
            f"{kinds.get(name.rpartition('.')[2], name)}_{what}": getattr(one, what)
            for name, one in self.tables.items()
            for what in ("snr", "amplitude")
        }
        residual = {f"residual_{key}": value for key, value in asdict(self.residual).items()} if self.residual else {}
        own = {
            key: getattr(self, key) for key in ("phase_scatter_deg", "previous", "phase_change_deg", "amplitude_change")
        }
        known = {key: value for key, value in {**own, **leading, **residual}.items() if value is not None}
        whole = {**known, "tables": {name: asdict(one) for name, one in self.tables.items()}}
        plain: dict[str, Any] = json.loads(json.dumps(whole))  # as set.json will give it back: lists, not tuples
        return plain


def table_numbers(found: tables.Solutions, live: Sequence[str], outlier_factor: float) -> TableNumbers:
    """The numbers of one table; `live` names the antennas that had unflagged data."""
    slots = np.array([slot for slot, name in enumerate(found.antenna_names) if name in set(live)], dtype=np.int64)
    gains, names = found.gains[:, slots], [found.antenna_names[slot] for slot in slots]
    solved = np.isfinite(gains.real) & np.isfinite(gains.imag)
    some = solved.any(axis=(0, 2))
    with np.errstate(all="ignore"):
        typical = finite_median(np.abs(gains), axis=(0, 2))
        ratio = typical / finite_median(typical, axis=0)
    wild = some & ((ratio > outlier_factor) | (ratio < 1 / outlier_factor))
    snr = found.snr[:, slots][solved]
    return TableNumbers(
        flagged_fraction=float(1 - solved.mean()) if solved.size else 1.0,
        snr=float(np.median(snr[snr > 0])) if (snr > 0).any() else 0.0,
        amplitude=float(np.median(np.abs(gains[solved]))) if solved.any() else float("nan"),
        without_solution=tuple(name for name, alive in zip(names, some.any(axis=1), strict=True) if not alive),
        dead_receptors=_receptors(names, ~some & some.any(axis=1, keepdims=True)),
        outliers=_receptors(names, wild),
        outlier_fraction=float(wild.sum() / max(some.sum(), 1)),
    )


def phase_scatter_deg(phases: tables.Solutions) -> float:
    """Scatter of a transit's phases about each antenna's own mean, rms degrees."""
    mean = np.nansum(phases.gains, axis=0, keepdims=True)
    turned = np.angle(phases.gains * np.conj(mean))[phases.solved]
    return float(np.rad2deg(np.sqrt(np.mean(turned**2))))


def change(ratio: NDArray[np.complex64], reference: int) -> tuple[float, float]:
    """Rms phase (degrees) and median amplitude of new over old gains, shape (slots, channels, receptors).

    The phases are referred to one antenna, for the two sets may have had different ones; to the array's mean where
    that antenna is missing.
    """
    with np.errstate(all="ignore"):
        unit = ratio / np.abs(ratio)
    referred = unit[reference] if np.isfinite(unit[reference]).any() else np.nansum(unit, axis=0)
    others = np.arange(len(unit)) != reference
    turned = np.angle((unit * np.conj(referred))[others])
    turned, sizes = turned[np.isfinite(turned)], np.abs(ratio)[np.isfinite(ratio)]
    if not turned.size:
        return float("nan"), float("nan")
    return float(np.rad2deg(np.sqrt(np.mean(turned**2)))), float(np.median(sizes))


def judge(numbers: SetNumbers, limits: SolutionLimits) -> Verdict:
    """Good, suspect or rejected, with the numbers that make it so."""
    found: list[tuple[float, float, float, str]] = []
    for name, one in numbers.tables.items():
        kind = name.rpartition(".")[2]
        found += [
            (one.flagged_fraction, limits.suspect_flagged, limits.reject_flagged,
             f"{kind}: {one.flagged_fraction:.0%} of the live antennas' solutions flagged"),
            (one.outlier_fraction, limits.suspect_outliers, limits.reject_outliers,
             f"{kind}: {one.outlier_fraction:.0%} of the receptors have an outlying amplitude"),
        ]  # fmt: skip
        if kind != DELAYS or one.snr > 0:  # CASA may state none for delays
            said = f"{kind}: median signal to noise {one.snr:.1f}"
            found.append((-one.snr, -limits.suspect_snr, -limits.reject_snr, said))
    if numbers.phase_scatter_deg is not None:
        scatter = numbers.phase_scatter_deg
        said = f"phases scatter by {scatter:.1f} deg within the transit"
        found.append((scatter, limits.suspect_scatter_deg, limits.reject_scatter_deg, said))
    if numbers.residual is not None:
        left = numbers.residual.fraction
        found.append((left, limits.suspect_residual, limits.reject_residual, f"{left:.0%} of the calibrator is left"))
    if numbers.phase_change_deg is not None:
        turned = numbers.phase_change_deg
        said = f"phases turned by {turned:.0f} deg since {numbers.previous}"
        found.append((turned, limits.suspect_change_deg, np.inf, said))
    # A number that is none fails: it compares with nothing.
    rejected = [said for value, _, worst, said in found if not value <= worst]
    suspect = [said for value, bound, worst, said in found if value <= worst and not value <= bound]
    return Verdict(REJECTED if rejected else SUSPECT if suspect else GOOD, tuple(rejected + suspect))


def _receptors(names: Sequence[str], hit: NDArray[np.bool_]) -> tuple[str, ...]:
    letters = RECEPTORS if hit.shape[1] == len(RECEPTORS) else "I"
    return tuple(f"{names[slot]} {letters[receptor]}" for slot, receptor in np.argwhere(hit))


def finite_median(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Median without what is not a number; NaN where nothing is left, without numpy's warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), dtype=np.float64)
