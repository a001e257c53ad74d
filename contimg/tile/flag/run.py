"""Flag a Measurement Set: what the conversion flagged, dead antennas, and interference found by AOFlagger.

FLAG is always made anew from FLAG_ORIGINAL, so that flagging twice is flagging once.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.arrays import BufferPool
from contimg.formats.ms.columns import add_like, read_blocks
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.writable import writable
from contimg.tile.flag.antennas import Survey, dead_antennas
from contimg.tile.flag.baselines import Rows, baseline_chunks, read, write
from contimg.tile.flag.interference import Searchers, compute_amplitudes
from contimg.tile.flag.summary import FlagCount, FlagSummary

CHUNK_BYTES = 256 * 2**20  # of baselines: narrower ones read the same tiles of the table more often
BLOCK_BYTES = 32 * 2**20  # of rows' data
ORIGINAL = "FLAG_ORIGINAL"
_UNFINISHED = "UNFINISHED"
MAJORITY = 0.5  # of the baselines
CLIP = 1000.0  # times the typical amplitude of a cross-correlation
_EVERY_ROW, _EVERY_CHANNEL = 17, 5
PROCESSES = 2
_AHEAD = 1  # chunks that are read while others are searched
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Flagged:
    """The outcome.

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


def flag(tile: MSInfo, search: bool = True, processes: int = PROCESSES) -> Flagged:
    """Make FLAG anew; `search` looks for interference as well, in so many processes beside this one.

    Raises
    ------
    BadInput : no antenna is alive.
    Transient : a searching process died.
    """
    keep_original(tile)
    with Searchers(processes if search else 0) as searchers, writable(tile.path) as main:
        survey, before = start_over(main, len(tile.antenna_names), len(tile.freqs_hz))
        dead = dead_antennas(survey, tile.antennas)
        if len(dead) >= np.count_nonzero(survey.samples[tile.antennas]):
            some = next(iter(dead.values()), "no cross-correlations")
            raise BadInput(f"{tile.path}: no live antenna in it ({some}); look at the correlator's output")
        hits, found = np.zeros((len(tile.times_mjd_s), len(tile.freqs_hz)), dtype=bool), 0
        if search:
            hits, found = find_interference(main, tile, dead, searchers)
        after, more = finish(main, tile, dead, hits)
    return Flagged(
        fraction=after.fraction,
        interference=float(2 * (found + more) / after.samples.sum()),
        dead=dead,
        unflagged=np.where(after.samples > 0, 1.0 - after.by_antenna, 0.0),
        summary=FlagSummary(before, after),
    )


def keep_original(tile: MSInfo) -> None:
    """Have FLAG_ORIGINAL: where the conversion left none, a copy of FLAG as it is now.

    The column bears the keyword UNFINISHED until it is whole, and FLAG is not touched before that.
    """
    if ORIGINAL in tile.columns and not unfinished(tile):
        return
    with writable(tile.path, 0 if ORIGINAL in tile.columns else tile.samples) as main:
        if ORIGINAL not in tile.columns:
            add_like(main, ORIGINAL, "FLAG", {_UNFINISHED: True})
        for rows, (flags,) in read_blocks(main, ("FLAG",), BLOCK_BYTES // 8):
            main.putcol(ORIGINAL, flags, rows.start, len(flags))
    with writable(tile.path) as main:
        main.removecolkeyword(ORIGINAL, _UNFINISHED)


def unfinished(tile: MSInfo) -> bool:
    """Whether FLAG_ORIGINAL is of a copy that was cut short."""
    with table(str(tile.path), ack=False) as main:
        return _UNFINISHED in main.getcolkeywords(ORIGINAL)


def start_over(main: table, slots: int, channels: int) -> tuple[Survey, FlagCount]:
    """Set FLAG to FLAG_ORIGINAL, samples that are zero or not numbers flagged.

    Returns the survey of the antennas, and how much is flagged now.
    """
    survey, before = Survey.of(slots), FlagCount.of(slots, channels)
    one, two, whole = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "FLAG_ROW"))
    for rows, (data, flags) in read_blocks(main, ("DATA", ORIGINAL), BLOCK_BYTES):
        first, second = one[rows], two[rows]
        _mark(data, flags, whole[rows])
        clip(data, flags, first, second)
        survey.add(data, flags, first, second)
        before.add(flags, first, second)
        main.putcol("FLAG", flags, rows.start, len(flags))
    return survey, before


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _mark(data: NDArray[np.complex64], flags: _Mask, whole: _Mask) -> None:
    """Flag what is zero or no number, and all of the rows of `whole`."""
    for row in range(data.shape[0]):
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                good = np.isfinite(value.real) and np.isfinite(value.imag) and value != 0
                flags[row, channel, pol] |= whole[row] or not good


def clip(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32]
) -> None:
    """Flag cross-correlations far above all that a receiver gives, before they spoil the mean that AOFlagger sees.

    data, flags : (rows, channels, correlations), `flags` in place; the typical amplitude is a sample's median.
    """
    some = (first != second)[::_EVERY_ROW]
    sample, bad = data[::_EVERY_ROW, ::_EVERY_CHANNEL][some], flags[::_EVERY_ROW, ::_EVERY_CHANNEL][some]
    if not bad.all():
        _clip(data, flags, first, second, CLIP * float(np.median(np.abs(sample[~bad]))))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _clip(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], first: NDArray[np.int32], second: NDArray[np.int32],
    limit: float,
) -> None:  # fmt: skip
    for row in range(data.shape[0]):
        if first[row] == second[row]:
            continue
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                if abs(value.real) > limit or abs(value.imag) > limit:
                    flags[row, channel, pol] = True


def find_interference(main: table, tile: MSInfo, dead: dict[int, str], searchers: Searchers) -> tuple[_Mask, int]:
    """Flag interference on each baseline of live antennas, one by one.

    Returns the times and channels at which most baselines see interference, shape (times, channels), and the number
    of samples newly flagged.
    """
    votes = np.zeros((len(tile.times_mjd_s), len(tile.freqs_hz)))
    voters, found = 0, 0
    searched: deque[tuple[Rows, _Mask, Rows, Callable[[], _Mask]]] = deque()
    space = BufferPool()

    def take() -> None:
        nonlocal voters, found
        rows, flags, looked, masks = searched.popleft()
        before = np.count_nonzero(flags)
        for index, mask in zip(looked, masks(), strict=True):
            flags[:, index] |= mask[:, :, None]
            votes[:] += mask
        voters += looked.size
        found += int(np.count_nonzero(flags) - before)
        write(main, "FLAG", flags, rows)

    for rows, live in baseline_chunks(main, tile, dead, CHUNK_BYTES):
        data, flags = read(main, "DATA", rows, space), read(main, "FLAG", rows, BufferPool())
        amplitude, missing = compute_amplitudes(data, flags)
        looked = np.flatnonzero(live & ~missing.all(axis=(1, 2)))
        searched.append((rows, flags, looked, searchers.submit(amplitude[looked], missing[looked])))
        if len(searched) > _AHEAD:
            take()
    while searched:
        take()
    return votes > MAJORITY * max(voters, 1), found


def finish(main: table, tile: MSInfo, dead: dict[int, str], hits: _Mask) -> tuple[FlagCount, int]:
    """Flag dead antennas, and on every baseline the samples (times, channels) that most baselines see disturbed.

    Where most see interference the rest have it too, only weaker. Returns the count of all flags, and how many samples
    of live cross-correlations are new.
    """
    count, found = FlagCount.of(len(tile.antenna_names), len(tile.freqs_hz)), 0
    listed = np.array(sorted(dead), dtype=np.int64)
    one, two = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
    times = np.searchsorted(tile.times_mjd_s, main.getcol("TIME"))
    silent = np.isin(one, listed) | np.isin(two, listed)
    for rows, (flags,) in read_blocks(main, ("FLAG",), BLOCK_BYTES // 8):
        first, second, quiet = one[rows], two[rows], silent[rows]
        found += _finish(flags, times[rows], hits, quiet, (first != second) & ~quiet)
        count.add(flags, first, second)
        main.putcol("FLAG", flags, rows.start, len(flags))
    return count, found


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _finish(flags: _Mask, times: Rows, hits: _Mask, silent: _Mask, counted: _Mask) -> int:
    found = 0
    for row in range(flags.shape[0]):
        if silent[row]:
            flags[row] = True
            continue
        for channel in range(flags.shape[1]):
            if hits[times[row], channel]:
                for pol in range(flags.shape[2]):
                    found += counted[row] and not flags[row, channel, pol]
                    flags[row, channel, pol] = True
    return found
