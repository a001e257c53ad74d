"""Flag a Measurement Set: flags of the conversion, dead antennas, and interference found by AOFlagger.

FLAG is always recomputed from FLAG_ORIGINAL and from what was flagged by hand, so that flagging twice gives the same
flags. Interference is searched for in the parallel hands, and flagged in all correlations.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.arrays import BufferPool, Data, Mask, Rows, split_runs
from contimg.formats.ms.columns import read_blocks
from contimg.formats.ms.flags import MANUAL, ORIGINAL, collect_manual_flags
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.revision import writable
from contimg.tile.flag.antennas import Survey, find_dead_antennas
from contimg.tile.flag.interference import Search, compute_amplitudes, start_searchers
from contimg.tile.flag.summary import FlagCount, FlagSummary

CHUNK_BYTES = 256 * 2**20  # of baselines: smaller chunks read the same storage tiles of the table more often
BLOCK_BYTES = 32 * 2**20  # of rows' data
MAJORITY = 0.5  # of the baselines
CLIP = 1000.0  # times the typical amplitude of a cross-correlation
PROCESSES = 2
_ROW_STEP, _CHANNEL_STEP = 17, 5  # of the sample that gives the typical amplitude
_MAX_FINITE = float(np.finfo(np.float32).max)
_SAMPLE_BYTES = 24  # of one sample: DATA, FLAG and what is computed from them
_AHEAD = 1  # chunks that are read while others are searched


@dataclass(frozen=True)
class FlagResult:
    """Result of flagging.

    Attributes
    ----------
    fraction : of the cross-correlations' samples that are flagged now.
    interference : fraction of all cross-correlation samples that only AOFlagger flagged.
    dead : slots of the dead antennas, with the reason of each.
    unflagged : usable fraction of each slot's cross-correlations, shape (slots,); 0 for dead ones.
    summary : the fractions before and after, by antenna and by channel.
    """

    fraction: float
    interference: float
    dead: dict[int, str]
    unflagged: NDArray[np.float64]
    summary: FlagSummary


def flag(ms: MSInfo, search: bool = True, processes: int = PROCESSES) -> FlagResult:
    """Recompute the FLAG column of a Measurement Set, in a copy of it (see `revised`).

    Parameters
    ----------
    ms : its metadata.
    search : search for interference as well.
    processes : number of searching processes beside this one.

    Raises
    ------
    BadInput : no antenna is alive, or there is no DATA.
    Transient : a searching process died, or the disk is full.
    """
    if "DATA" not in ms.columns:
        raise BadInput(f"{ms.path}: has no column DATA; convert the group again")
    ms.require_products()
    collect_manual_flags(ms)
    with start_searchers(processes if search else 0) as submit, writable(ms.path) as main:
        survey, before, by_hand = _reset_flags(main, ms)
        dead = find_dead_antennas(survey, ms.antennas)
        if len(dead) >= np.count_nonzero(survey.samples[ms.antennas]):
            reason = next(iter(dead.values()), "no cross-correlations")
            raise BadInput(f"{ms.path}: no live antenna ({reason}); check the correlator's output")
        hits, flagged = np.zeros((len(ms.times_mjd_s), len(ms.freqs_hz)), dtype=bool), 0
        if search:
            hits, flagged = _flag_interference(main, ms, dead, submit)
        after, more = _flag_dead_and_hits(main, ms, dead, hits)
    return FlagResult(
        fraction=after.fraction, interference=float(2 * (flagged + more) / after.samples.sum()), dead=dead,
        unflagged=np.where(after.samples > 0, 1.0 - after.by_antenna, 0.0), summary=FlagSummary(before, after, by_hand),
    )  # fmt: skip


def _reset_flags(main: table, ms: MSInfo) -> tuple[Survey, FlagCount, float]:
    """Set FLAG to FLAG_ORIGINAL with bad values and unusable rows flagged, and what is flagged by hand.

    Gives the survey of the antennas, the count of flags without those by hand, and the fraction by hand.
    """
    survey = Survey.empty(len(ms.antenna_names))
    count, by_hand = FlagCount.empty(len(ms.antenna_names), len(ms.times_mjd_s), len(ms.freqs_hz)), 0
    ant1, ant2, row_flags = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "FLAG_ROW"))
    times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
    more = [MANUAL] if MANUAL in main.colnames() else []
    if _has_weight_spectrum(main):
        more.append("WEIGHT_SPECTRUM")
    for rows, (data, flags, *cells) in read_blocks(main, ("DATA", ORIGINAL, *more), BLOCK_BYTES):
        block = dict(zip(more, cells, strict=True))
        flags |= (row_flags[rows] | ~ms.usable_rows[rows])[:, None, None]
        if "WEIGHT_SPECTRUM" in block:
            flags |= ~np.isfinite(block["WEIGHT_SPECTRUM"])
        _flag_values(data, flags, np.full(len(data), _MAX_FINITE))
        is_cross = ant1[rows] != ant2[rows]
        _clip(data, flags, is_cross, ms)
        count.add(flags, ant1[rows], ant2[rows], times[rows])
        if MANUAL in block:
            flags |= block[MANUAL]
            by_hand += int(np.count_nonzero(block[MANUAL][is_cross]))
        survey.add(ms.select_parallel_hands(data), ms.select_parallel_hands(flags), ant1[rows], ant2[rows])
        main.putcol("FLAG", flags, rows.start, len(flags))
    return survey, count, float(2 * by_hand / max(count.samples.sum(), 1))


def _has_weight_spectrum(main: table) -> bool:
    """Whether there are weights of samples; some writers declare their column and leave its cells empty."""
    name = "WEIGHT_SPECTRUM"
    if name not in main.colnames() or not main.iscelldefined(name, 0):
        return False
    return bool(main.getcell(name, 0).shape == main.getcell("DATA", 0).shape)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _flag_values(data: Data, flags: Mask, limits: NDArray[np.float64]) -> None:
    """Flag values that are zero, not finite, or in one component above the limit of their row, shape (rows,)."""
    for row in range(data.shape[0]):
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                if not (value != 0 and abs(value.real) <= limits[row] and abs(value.imag) <= limits[row]):
                    flags[row, channel, pol] = True


def _clip(data: Data, flags: Mask, is_cross: Mask, ms: MSInfo) -> None:
    """Flag cross-correlations far above the parallel hands' median, for they would dominate AOFlagger's mean."""
    has_cross = is_cross[::_ROW_STEP]
    sample, good = (
        ms.select_parallel_hands(values[::_ROW_STEP, ::_CHANNEL_STEP][has_cross]) for values in (data, ~flags)
    )
    if good.any():
        limit = CLIP * float(np.median(np.abs(sample[good])))
        _flag_values(data, flags, np.where(is_cross, limit, _MAX_FINITE))


def _flag_interference(main: table, ms: MSInfo, dead: dict[int, str], submit: Search) -> tuple[Mask, int]:
    """Flag interference on each baseline of live antennas.

    Returns the times and channels at which most baselines have interference, shape (times, channels), and the number
    of samples newly flagged.
    """
    votes = np.zeros((len(ms.times_mjd_s), len(ms.freqs_hz)))
    voters, flagged = 0, 0
    searched: deque[tuple[Rows, Mask, Rows, Callable[[], Mask]]] = deque()
    buffers = BufferPool()

    def write_next() -> None:
        nonlocal voters, flagged
        rows, flags, baselines, masks = searched.popleft()
        before = np.count_nonzero(flags)
        for baseline, mask in zip(baselines, masks(), strict=True):
            flags[:, baseline] |= mask[:, :, None]
            votes[:] += mask
        voters += baselines.size
        flagged += int(np.count_nonzero(flags) - before)
        _write_cells(main, "FLAG", flags, rows)

    for rows, is_live in _split_baselines(main, ms, dead):
        data, flags = _read_cells(main, "DATA", rows, buffers), _read_cells(main, "FLAG", rows, BufferPool())
        amplitude, missing = compute_amplitudes(ms.select_parallel_hands(data), ms.select_parallel_hands(flags))
        baselines = np.flatnonzero(is_live & ~missing.all(axis=(1, 2)))
        searched.append((rows, flags, baselines, submit(amplitude[baselines], missing[baselines])))
        if len(searched) > _AHEAD:
            write_next()
    while searched:
        write_next()
    return votes > MAJORITY * max(voters, 1), flagged


def _split_baselines(main: table, ms: MSInfo, dead: dict[int, str]) -> Iterator[tuple[Rows, Mask]]:
    """Split a Measurement Set into chunks of baselines, which keep the order of their first rows.

    A chunk is thus a run of consecutive rows at each time. Yields row numbers, shape (times, baselines), -1 where a
    time is missing; and whether a baseline joins two live antennas, shape (baselines,).
    """
    slots, times = len(ms.antenna_names), np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
    pair_of_row = main.getcol("ANTENNA1").astype(np.int64) * slots + main.getcol("ANTENNA2")
    pairs, first_row, pair_index = np.unique(pair_of_row, return_index=True, return_inverse=True)
    order = np.argsort(first_row)
    rows = np.full((len(ms.times_mjd_s), pairs.size), -1, dtype=np.int64)
    rows[times, np.argsort(order)[pair_index.reshape(-1)]] = np.arange(pair_of_row.size)
    ant1, ant2 = pairs[order] // slots, pairs[order] % slots
    is_live = (ant1 != ant2) & ~np.isin(ant1, [*dead]) & ~np.isin(ant2, [*dead])
    size = max(1, CHUNK_BYTES // (_SAMPLE_BYTES * len(rows) * len(ms.freqs_hz) * len(ms.correlations)))
    for start in range(0, pairs.size, size):
        yield rows[:, start : start + size], is_live[start : start + size]


def _read_cells(main: table, column: str, rows: Rows, buffers: BufferPool) -> NDArray[Any]:
    """Read cells of rows of any shape, into a buffer of the column's name; zero data and set flags where a row is -1.

    Gives the cells, shape (*rows.shape, channels, correlations).
    """
    cell = main.getcell(column, 0)
    cells = buffers.array(column, (rows.size, *cell.shape), cell.dtype)
    cells[rows.reshape(-1) < 0] = cell.dtype == bool
    for positions, start in _runs(rows):
        main.getcolnp(column, cells[positions], start, positions.stop - positions.start)
    return cells.reshape(*rows.shape, *cell.shape)


def _write_cells(main: table, column: str, values: NDArray[Any], rows: Rows) -> None:
    """Write cells, shaped as `_read_cells` gives them; those of a row -1 are dropped."""
    cells = values.reshape(rows.size, *values.shape[rows.ndim :])
    for positions, start in _runs(rows):
        main.putcol(column, cells[positions], start, positions.stop - positions.start)


def _runs(rows: Rows) -> Iterator[tuple[slice, int]]:
    """Find the runs of consecutive row numbers in the flattened `rows`: their positions and first row number."""
    flat = rows.reshape(-1)
    present = np.flatnonzero(flat >= 0)
    if not present.size:
        return
    for run in split_runs((np.diff(present) != 1) | (np.diff(flat[present]) != 1)):
        first, last = present[run.start], present[run.stop - 1]
        yield slice(int(first), int(last) + 1), int(flat[first])


def _flag_dead_and_hits(main: table, ms: MSInfo, dead: dict[int, str], hits: Mask) -> tuple[FlagCount, int]:
    """Flag dead antennas, and on every baseline the times and channels of `hits`: the others have it too, but weaker.

    Returns the count of all flags, and how many samples of live cross-correlations are new.
    """
    count, flagged = FlagCount.empty(len(ms.antenna_names), len(ms.times_mjd_s), len(ms.freqs_hz)), 0
    ant1, ant2 = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
    times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
    is_dead = np.isin(ant1, [*dead]) | np.isin(ant2, [*dead])
    is_counted = (ant1 != ant2) & ~is_dead
    for rows, (flags,) in read_blocks(main, ("FLAG",), BLOCK_BYTES // 8):
        flagged += _flag_rows(flags, times[rows], hits, is_dead[rows], is_counted[rows])
        count.add(flags, ant1[rows], ant2[rows], times[rows])
        main.putcol("FLAG", flags, rows.start, len(flags))
    return count, flagged


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _flag_rows(flags: Mask, times: Rows, hits: Mask, is_dead: Mask, is_counted: Mask) -> int:
    flagged = 0
    for row in range(flags.shape[0]):
        if is_dead[row]:
            flags[row] = True
            continue
        for channel in range(flags.shape[1]):
            if hits[times[row], channel]:
                for pol in range(flags.shape[2]):
                    flagged += is_counted[row] and not flags[row, channel, pol]
                    flags[row, channel, pol] = True
    return flagged
