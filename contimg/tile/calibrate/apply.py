"""Apply a calibration set to a tile in one pass: CORRECTED_DATA = DATA / (g1 g2*), as CASA's applycal has it.

Amplitudes, phases and delays are interpolated between the times of solutions; nothing is across missing ones: such
samples are flagged and set to zero. WEIGHT stays as it is (calwt=False).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.arrays import split_runs
from contimg.formats.caltables import tables
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.columns import CALIBRATION_KEYWORD, add_like, read_blocks, write_calibration_record
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.writable import writable

BLOCK_BYTES = 64 * 2**20
CORRECTED = "CORRECTED_DATA"
UNFINISHED = "the calibration did not finish"


@dataclass(frozen=True)
class Applied:
    """What the pass did: the fraction of the cross-correlations' samples that are flagged now."""

    flagged_fraction: float


def apply(one: CaltableSet, tile: MSInfo) -> Applied:
    """Write CORRECTED_DATA and its note; raises BadInput when a table is unreadable or does not fit, Transient
    when the disk has no room."""
    inverses = inverses_in_time(one, tile)
    note = {
        "set": one.name, "calibrator": one.calibrator, "mjd": one.mjd, "flux_scale": one.flux_scale,
        "tables": [str(path) for path in one.paths],
    }  # fmt: skip
    with correcting(tile) as main:
        flagged, total = 0, 0
        ends = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        when = np.searchsorted(tile.times_mjd_s, main.getcol("TIME")) if len(inverses) > 1 else np.zeros_like(ends[0])
        for rows, (data, flags) in read_blocks(main, ("DATA", "FLAG"), BLOCK_BYTES):
            first, second = (one[rows] for one in ends)
            for run in split_runs(np.diff(when[rows]) != 0):
                divide(data[run], flags[run], first[run], second[run], inverses[when[rows.start + run.start]])
            main.putcol(CORRECTED, data, rows.start, len(data))
            main.putcol("FLAG", flags, rows.start, len(flags))
            cross = first != second
            flagged += int(np.count_nonzero(flags[cross]))
            total += int(np.count_nonzero(cross)) * flags[0].size
    with writable(tile.path) as main:
        write_calibration_record(main, CORRECTED, note)
    return Applied(flagged / max(total, 1))


def leave_uncalibrated(tile: MSInfo, reason: str) -> None:
    """Say on DATA that nothing calibrates it; a CORRECTED_DATA of an earlier run becomes a copy of DATA."""
    note = {"set": None, "reason": reason}
    with writable(tile.path) as main:
        write_calibration_record(main, "DATA", note)
        if CORRECTED in main.colnames():
            write_calibration_record(main, CORRECTED, note)
            for rows, (data,) in read_blocks(main, ("DATA",), BLOCK_BYTES):
                main.putcol(CORRECTED, data, rows.start, len(data))


@contextmanager
def correcting(tile: MSInfo) -> Iterator[table]:
    """The main table with a CORRECTED_DATA whose note says that it is unfinished: a killed pass deceives nobody."""
    with table(str(tile.path), ack=False) as main:
        there = CORRECTED in main.colnames()
    if there:
        with writable(tile.path) as main:
            _say_unfinished(main)
    with writable(tile.path, 0 if there else corrected_bytes(tile)) as main:
        if not there:
            add_like(main, CORRECTED, "DATA", {})
            _say_unfinished(main)
        yield main


def _say_unfinished(main: table) -> None:
    write_calibration_record(main, CORRECTED, {"set": None, "reason": UNFINISHED})
    if CALIBRATION_KEYWORD in main.getcolkeywords("DATA"):
        main.removecolkeyword("DATA", CALIBRATION_KEYWORD)


def corrected_bytes(tile: MSInfo) -> int:
    """What CORRECTED_DATA takes."""
    return tile.samples * np.dtype(np.complex64).itemsize


def inverse_gains(one: CaltableSet, tile: MSInfo) -> NDArray[np.complex64]:
    """1/g for each slot, channel and receptor at the tile's middle; NaN without a solution."""
    return _inverse([tables.read(path) for path in one.paths], one, tile, tile.mid_mjd_s)


def inverses_in_time(one: CaltableSet, tile: MSInfo) -> NDArray[np.complex64]:
    """The same for each of the tile's times, shape (times, slots, channels, receptors); one for all if it is steady."""
    found = [tables.read(path) for path in one.paths]
    times = tile.times_mjd_s if any(len(each.gains) > 1 for each in found) else [tile.mid_mjd_s]
    return np.stack([_inverse(found, one, tile, float(time)) for time in times])


def _inverse(
    found: Sequence[tables.Solutions], one: CaltableSet, tile: MSInfo, time_mjd_s: float
) -> NDArray[np.complex64]:
    """1/g of tables at a time; antennas are matched by name, channels by frequency."""
    product = np.ones((len(tile.antenna_names), len(tile.freqs_hz), len(tile.correlations)), dtype=np.complex128)
    for path, each in zip(one.paths, found, strict=True):
        known = {name: index for index, name in enumerate(each.antenna_names)}
        slots = np.array([known.get(name, -1) for name in tile.antenna_names])
        gains = each.at(time_mjd_s, tile.freqs_hz)
        if gains.shape[2] != product.shape[2]:
            raise BadInput(f"{path}: {gains.shape[2]} receptors for a tile of {product.shape[2]} correlations")
        product *= np.where((slots >= 0)[:, None, None], gains[slots], np.nan)
    return np.reciprocal(product, out=np.full_like(product, np.nan), where=np.isfinite(product)).astype(np.complex64)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def divide(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32],
    inverse: NDArray[np.complex64],
) -> None:  # fmt: skip
    """data *= inverse[first] conj(inverse[second]) in place; zero and flagged where either is NaN.

    data, flags : (rows, channels, correlations); inverse : (slots, channels, correlations).
    """
    for row in range(data.shape[0]):
        one, other = inverse[first[row]], inverse[second[row]]
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                factor = one[channel, pol] * np.conj(other[channel, pol])
                if np.isfinite(factor.real) and np.isfinite(factor.imag):
                    data[row, channel, pol] *= factor
                else:
                    data[row, channel, pol] = 0.0
                    flags[row, channel, pol] = True
