"""Apply a caltable set to a Measurement Set in one pass: CORRECTED_DATA = DATA / (g1 g2*), as CASA's applycal does.

Amplitudes, phases and delays are interpolated between the times of solutions. Samples without a solution are flagged
and set to zero. WEIGHT stays as it is (calwt=False).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.arrays import Data, Mask, Slots, split_runs
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import Solutions, read_solutions
from contimg.formats.ms.columns import CALIBRATION_KEYWORD, add_like, read_blocks, write_calibration_record
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.revision import writable
from contimg.quality.calibration import CalibrationClass, CalibrationNumbers
from contimg.quality.caltables import measure_hand_ratio
from contimg.quality.grades import GOOD, SUSPECT
from contimg.tile.calibrate.interpolation import find_nearest_gain_mjd, measure_gain_change
from contimg.tile.calibrate.sky_gains.gains import SkyGains

BLOCK_BYTES = 64 * 2**20
CORRECTED = "CORRECTED_DATA"


def apply_caltable_set(
    caltable_set: CaltableSet, ms: MSInfo, numbers: CalibrationNumbers | None = None,
    second: CaltableSet | None = None, factors: NDArray[np.complex128] | None = None,
    sky_gains: Mapping[str, Any] | None = None,
) -> float:  # fmt: skip
    """Write CORRECTED_DATA, its flags and its note; give a copy of the tile (`revised`), for errors leave it half done.

    Parameters
    ----------
    caltable_set : the set to apply.
    ms : metadata of the Measurement Set.
    numbers : class and age of the calibration, for the note.
    second : the set that the gains are interpolated with; its factors come from `interpolate_gains`.
    factors : further gains in the same pass, shape (slots, receptors).
    sky_gains : record of the tile's gains from the sky, `SkyGainsResult.record`; they are applied too where it has any.

    Returns
    -------
    The fraction of the cross-correlations' samples that are flagged now.

    Raises
    ------
    BadInput : a caltable is unreadable or does not fit.
    Transient : the disk is full.
    """
    gains = SkyGains.from_record(sky_gains["gains"]) if sky_gains and sky_gains["gains"] else None
    inverses = compute_inverse_gains_in_time(caltable_set, ms, factors, gains)
    grade, reasons = caltable_set.grade or None, caltable_set.reasons
    if not caltable_set.is_valid_at(ms.mid_mjd):
        days = ms.mid_mjd - caltable_set.mjd
        borrowed = f"borrowed, its calibrator was observed {abs(days):.1f} d {'earlier' if days >= 0 else 'later'}"
        grade, reasons = SUSPECT if grade == GOOD else grade, (*reasons, borrowed)
    note = {
        **vars(numbers or CalibrationNumbers()),
        "set": caltable_set.name, "calibrator": caltable_set.calibrator, "mjd": caltable_set.mjd,
        "flux_scale": caltable_set.flux_scale, "tables": [str(path) for path in caltable_set.paths],
        "second_tables": [str(path) for path in second.paths] if second else [],
        "grade": grade, "reasons": reasons,
        "hand_ratio": measure_hand_ratio(inverses), "sky_gains": sky_gains,
    }  # fmt: skip
    exists = CORRECTED in ms.columns
    with writable(ms.path, 0 if exists else corrected_bytes(ms)) as main:
        if not exists:
            add_like(main, CORRECTED, "DATA")
        flagged, total = 0, 0
        ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME")) if len(inverses) > 1 else np.zeros_like(ant1)
        for rows, (data, flags) in read_blocks(main, ("DATA", "FLAG"), BLOCK_BYTES):
            for run in split_runs(np.diff(times[rows]) != 0):
                inverse = inverses[times[rows.start + run.start]]
                correct_rows(data[run], flags[run], ant1[rows][run], ant2[rows][run], inverse, ms.receptors)
            main.putcol(CORRECTED, data, rows.start, len(data))
            main.putcol("FLAG", flags, rows.start, len(flags))
            is_cross = ant1[rows] != ant2[rows]
            flagged += int(np.count_nonzero(flags[is_cross]))
            total += int(np.count_nonzero(is_cross)) * flags[0].size
        write_calibration_record(main, CORRECTED, note)
        if CALIBRATION_KEYWORD in main.getcolkeywords("DATA"):
            main.removecolkeyword("DATA", CALIBRATION_KEYWORD)
    return flagged / max(total, 1)


def interpolate_gains(
    first: CaltableSet, second: CaltableSet, ms: MSInfo
) -> tuple[NDArray[np.complex128] | None, str]:  # fmt: skip
    """Interpolate the gains of two caltable sets to mid-tile, amplitude and phase; the bandpass stays the first's.

    Parameters
    ----------
    first, second : the set that is applied, and one on the other side of the tile in time.
    ms : metadata of the Measurement Set.

    Returns
    -------
    Factors of the gains of the first set, shape (slots, receptors), or None, and why there are none.
    """
    try:
        mjds = [find_nearest_gain_mjd(caltable_set, ms.mid_mjd) for caltable_set in (first, second)]
        names, reference = ms.antenna_names, first.reference_antenna
        change = measure_gain_change(
            compute_inverse_gains(first, ms), compute_inverse_gains(second, ms),
            names.index(reference) if reference in names else -1,
        )  # fmt: skip
    except BadInput as error:
        return None, str(error)
    if change.problem or mjds[0] == mjds[1]:
        return None, change.problem or "solved at the same time"
    return change.gains_at((ms.mid_mjd - mjds[0]) / (mjds[1] - mjds[0])), ""


def mark_uncalibrated(ms: MSInfo, reason: str) -> None:
    """Write on DATA that it is uncalibrated, and why.

    Parameters
    ----------
    ms : metadata of the Measurement Set, which has no CORRECTED_DATA.
    reason : a sentence for the operator; the note keeps it.

    Raises
    ------
    Transient : the disk is full.
    """
    with writable(ms.path) as main:
        write_calibration_record(
            main, "DATA", {"set": None, "reason": reason, "calibration_class": CalibrationClass.NONE}
        )


def remove_corrected(ms: MSInfo) -> MSInfo:
    """Remove CORRECTED_DATA; give the metadata without it.

    Parameters
    ----------
    ms : metadata of the Measurement Set, in a copy of it (see `revised`).
    """
    if CORRECTED in ms.columns:
        with writable(ms.path) as main:
            main.removecols([CORRECTED])
    return replace(ms, columns=ms.columns - {CORRECTED})


def corrected_bytes(ms: MSInfo) -> int:
    """Give the size of a Measurement Set's CORRECTED_DATA.

    Parameters
    ----------
    ms : metadata of the Measurement Set, which need not have the column yet.
    """
    return ms.samples * np.dtype(np.complex64).itemsize


def compute_inverse_gains(caltable_set: CaltableSet, ms: MSInfo) -> Data:
    """Compute 1/g in mid-tile, shape (slots, channels, receptors); NaN without a solution.

    Antennas are matched by name, channels by frequency; slots and channels are those of the Measurement Set.

    Parameters
    ----------
    caltable_set : its gains are the product of those of all its caltables.
    ms : metadata of the Measurement Set; a slot or channel that the set lacks gets NaN.

    Raises
    ------
    BadInput : a caltable is missing, unreadable, without any solution, or of another number of receptors.
    """
    return _invert(_read_all(caltable_set, ms), ms, ms.mid_mjd_s)


def compute_inverse_gains_in_time(
    caltable_set: CaltableSet, ms: MSInfo, factors: NDArray[np.complex128] | None = None,
    sky_gains: SkyGains | None = None,
) -> Data:  # fmt: skip
    """Compute 1/g at each time of a Measurement Set, shape (times, slots, channels, receptors); NaN without a solution.

    Without gains of several times the first axis has length 1.

    Parameters
    ----------
    caltable_set : its gains are the product of those of all its caltables, interpolated in time.
    ms : metadata of the Measurement Set; a slot or channel that the set lacks gets NaN.
    factors : further gains, shape (slots, receptors).
    sky_gains : gains of the tile on top of those of the set.

    Raises
    ------
    BadInput : a caltable is missing, unreadable, without any solution, or of another number of receptors.
    """
    caltables = _read_all(caltable_set, ms)
    if sky_gains is not None:
        caltables.append(sky_gains.solutions().select_antennas(ms.antenna_names))
    constant = [solutions for solutions in caltables if len(solutions.gains) == 1]
    changing = [solutions for solutions in caltables if len(solutions.gains) > 1]
    inverse: NDArray[Any] = (
        _invert(constant, ms, ms.mid_mjd_s)[None] if constant else np.ones((1, 1, 1, 1), dtype=np.complex64)
    )
    if factors is not None:
        inverse = inverse / factors[None, :, None, :]
    if changing:
        inverse = np.stack([inverse[0] * _invert(changing, ms, float(time)) for time in ms.times_mjd_s])
    return inverse.astype(np.complex64)


def _read_all(caltable_set: CaltableSet, ms: MSInfo) -> list[Solutions]:
    """Read the caltables of a set, their antennas as in the Measurement Set."""
    caltables = [read_solutions(path).select_antennas(ms.antenna_names) for path in caltable_set.paths]
    for path, solutions in zip(caltable_set.paths, caltables, strict=True):
        count = solutions.gains.shape[3]
        if count <= ms.receptors.max():
            raise BadInput(f"{path}: gains of {count} receptor, and {ms.path} has {', '.join(ms.correlations)}")
    return caltables


def _invert(caltables: list[Solutions], ms: MSInfo, time_mjd_s: float) -> Data:
    receptors = int(ms.receptors.max()) + 1
    gains = [solutions.interpolate(time_mjd_s, ms.freqs_hz)[:, :, :receptors] for solutions in caltables]
    product: NDArray[np.complex128] = np.prod(gains, axis=0)
    return np.reciprocal(product, out=np.full_like(product, np.nan), where=np.isfinite(product)).astype(np.complex64)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def correct_rows(
    data: Data, flags: Mask, ant1: Slots, ant2: Slots, inverse: NDArray[np.complex64], receptors: NDArray[np.int64]
) -> None:  # fmt: skip
    """Multiply rows by the inverse gains of both antennas, in place; samples without them are flagged and zero.

    Each correlation by the gains of its receptors, XY by 1/g_x of the first antenna and 1/g_y* of the second:
    V_pq = J_p B J_q^H with diagonal J (Hamaker, Bregman & Sault 1996, A&AS 117, 137).

    Parameters
    ----------
    data, flags : shape (rows, channels, correlations).
    ant1, ant2 : antenna slots, shape (rows,).
    inverse : inverse gains, shape (slots, channels, receptors).
    receptors : of both antennas of each correlation, shape (correlations, 2).
    """
    for row in range(data.shape[0]):
        inverse1, inverse2 = inverse[ant1[row]], inverse[ant2[row]]
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                factor = inverse1[channel, receptors[pol, 0]] * np.conj(inverse2[channel, receptors[pol, 1]])
                if np.isfinite(factor.real) and np.isfinite(factor.imag):
                    data[row, channel, pol] *= factor
                else:
                    data[row, channel, pol] = 0.0
                    flags[row, channel, pol] = True
