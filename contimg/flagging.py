"""Flag a Measurement Set: what the conversion flagged, dead antennas, and interference found by AOFlagger.

FLAG is always made anew from FLAG_ORIGINAL, so that flagging twice is flagging once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import aoflagger
import numba
import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.antennas import Survey, dead_antennas
from contimg.errors import BadInput
from contimg.flag_summary import FlagCount, FlagSummary
from contimg.measurement_set.columns import add_like
from contimg.measurement_set.description import Description

CHUNK_BYTES = 256 * 2**20
ORIGINAL = "FLAG_ORIGINAL"
_UNFINISHED = "UNFINISHED"
MAJORITY = 0.5  # of the baselines
CLIP = 1000.0  # times the typical amplitude of a cross-correlation
_EVERY_ROW, _EVERY_CHANNEL = 17, 5
SKY_VARIATION = 0.1  # of a baseline's mean amplitude: sources that beat against each other do as much
Rows = NDArray[np.int64]


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


def flag(tile: Description, search: bool = True) -> Flagged:
    """Make FLAG anew; `search` looks for interference as well.

    Raises
    ------
    BadInput : no antenna is alive.
    """
    with table(str(tile.path), readonly=False, ack=False) as main:
        keep_original(main)
        survey, before = start_over(main, len(tile.antenna_names), len(tile.freqs_hz))
        dead = dead_antennas(survey, tile.antennas)
        if len(dead) >= np.count_nonzero(survey.samples[tile.antennas]):
            some = next(iter(dead.values()), "no cross-correlations")
            raise BadInput(f"{tile.path}: no live antenna in it ({some}); look at the correlator's output")
        flag_antennas(main, dead)
        found = find_interference(main, tile, dead) if search else 0
        after = _tally(main, len(tile.antenna_names), len(tile.freqs_hz))
    return Flagged(
        fraction=after.fraction,
        interference=float(2 * found / after.samples.sum()),
        dead=dead,
        unflagged=np.where(after.samples > 0, 1.0 - after.by_antenna, 0.0),
        summary=FlagSummary(before, after),
    )


def keep_original(main: table) -> None:
    """Have FLAG_ORIGINAL: where the conversion left none, a copy of FLAG as it is now.

    The column bears the keyword UNFINISHED until it is whole, and FLAG is not touched before that.
    """
    if ORIGINAL in main.colnames() and _UNFINISHED not in main.getcolkeywords(ORIGINAL):
        return
    if ORIGINAL not in main.colnames():
        add_like(main, ORIGINAL, "FLAG", {_UNFINISHED: True})
    for start, count in _blocks(main):
        main.putcol(ORIGINAL, main.getcol("FLAG", start, count), start, count)
    main.flush()
    main.removecolkeyword(ORIGINAL, _UNFINISHED)
    main.flush()


def start_over(main: table, slots: int, channels: int) -> tuple[Survey, FlagCount]:
    """Set FLAG to FLAG_ORIGINAL, samples that are zero or not numbers flagged.

    Returns the survey of the antennas, and how much is flagged now.
    """
    survey, before = Survey.of(slots), FlagCount.of(slots, channels)
    for start, count in _blocks(main):
        data, flags = main.getcol("DATA", start, count), main.getcol(ORIGINAL, start, count)
        flags |= main.getcol("FLAG_ROW", start, count)[:, None, None]
        flags |= ~np.isfinite(data) | (data == 0)
        ends = main.getcol("ANTENNA1", start, count), main.getcol("ANTENNA2", start, count)
        clip(data, flags, *ends)
        survey.add(data, flags, *ends)
        before.add(flags, *ends)
        main.putcol("FLAG", flags, start, count)
    return survey, before


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


def flag_antennas(main: table, slots: dict[int, str]) -> None:
    """Flag every row of these antenna slots."""
    listed = np.array(sorted(slots), dtype=np.int64)
    hit = np.isin(main.getcol("ANTENNA1"), listed) | np.isin(main.getcol("ANTENNA2"), listed)
    for run in _runs(np.flatnonzero(hit)):
        shape = (run.size, *main.getcell("FLAG", 0).shape)
        main.putcol("FLAG", np.ones(shape, dtype=bool), int(run[0]), run.size)


def find_interference(main: table, tile: Description, dead: dict[int, str]) -> int:
    """Flag interference on each baseline of live antennas; returns the number of samples newly flagged.

    Where most baselines see interference at a time and channel, the rest have it too, only weaker: all are flagged.
    """
    search = _Search(tile)
    votes = np.zeros((len(tile.times_mjd_s), len(tile.freqs_hz)))
    voters, found = 0, 0
    for rows in _baseline_chunks(main, tile, dead):
        data, flags = (_read(main, name, rows) for name in ("DATA", "FLAG"))
        before = np.count_nonzero(flags)
        amplitude, missing = amplitudes(data, flags)
        for index in np.flatnonzero(~missing.all(axis=(1, 2))):
            mask = search.run(amplitude[index], missing[index])
            flags[index] |= mask[:, :, None]
            votes += mask
            voters += 1
        found += int(np.count_nonzero(flags) - before)
        _write_flags(main, flags, rows)
    return found + _flag_samples(main, tile, votes > MAJORITY * max(voters, 1))


class _Search:
    """AOFlagger with the strategy of contimg/data/interference.lua, for baselines of one shape."""

    def __init__(self, tile: Description) -> None:
        self._flagger = aoflagger.AOFlagger()
        with as_file(files("contimg.data").joinpath("interference.lua")) as path:
            self._strategy = self._flagger.load_strategy_file(str(path))
        shape = (len(tile.times_mjd_s), len(tile.freqs_hz))
        self._image = self._flagger.make_image_set(*shape, 1)
        # AOFlagger takes its thresholds from the scatter it sees. A floor under that scatter keeps it from taking the
        # beats of a strong sky for interference where the noise is smaller still. Always the same: same data, same
        # flags.
        self._floor = np.random.default_rng(0).normal(scale=SKY_VARIATION, size=shape).astype(np.float32)

    def run(self, amplitude: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Where there is interference or nothing; all (times, channels)."""
        self._image.set_image_buffer(0, (amplitude + self._floor).T)
        mask = self._flagger.make_flag_mask(*amplitude.shape, False)
        mask.set_buffer(np.ascontiguousarray(missing.T))
        return np.asarray(self._strategy.run(self._image, mask).get_buffer().T)


def _flag_samples(main: table, tile: Description, hit: NDArray[np.bool_]) -> int:
    """Flag these samples (times, channels) on every baseline; returns how many of cross-correlations are new."""
    found = 0
    for start, count in _blocks(main):
        times = np.searchsorted(tile.times_mjd_s, main.getcol("TIME", start, count))
        flags = main.getcol("FLAG", start, count)
        cross = main.getcol("ANTENNA1", start, count) != main.getcol("ANTENNA2", start, count)
        new = hit[times][:, :, None] & ~flags
        found += int(np.count_nonzero(new[cross]))
        main.putcol("FLAG", flags | new, start, count)
    return found


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def amplitudes(data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What AOFlagger looks at: |V| over each polarisation's mean, averaged over the unflagged polarisations.

    data, flags : (baselines, times, channels, polarisations); returns amplitudes and where there is none,
    both (baselines, times, channels).
    """
    baselines, times, channels, pols = data.shape
    out = np.zeros((baselines, times, channels), dtype=np.float32)
    missing = np.zeros((baselines, times, channels), dtype=np.bool_)
    for baseline in range(baselines):
        total, count = np.zeros(pols), np.zeros(pols)
        for time in range(times):
            for channel in range(channels):
                for pol in range(pols):
                    if not flags[baseline, time, channel, pol]:
                        total[pol] += abs(data[baseline, time, channel, pol])
                        count[pol] += 1
        for time in range(times):
            for channel in range(channels):
                summed, used = 0.0, 0
                for pol in range(pols):
                    if not flags[baseline, time, channel, pol] and total[pol] > 0:
                        summed += abs(data[baseline, time, channel, pol]) * count[pol] / total[pol]
                        used += 1
                missing[baseline, time, channel] = used == 0
                out[baseline, time, channel] = summed / max(used, 1)
    return out, missing


def _baseline_chunks(main: table, tile: Description, dead: dict[int, str]) -> Iterator[Rows]:
    """Rows of live cross-correlations as (baselines, times), -1 where a time is missing; bounded in memory.

    Baselines keep the order of their first rows, so that a chunk is a few runs of consecutive rows.
    """
    first, second = main.getcol("ANTENNA1").astype(np.int64), main.getcol("ANTENNA2").astype(np.int64)
    listed = np.array(sorted(dead), dtype=np.int64)
    wanted = np.flatnonzero((first != second) & ~np.isin(first, listed) & ~np.isin(second, listed))
    times = np.searchsorted(tile.times_mjd_s, main.getcol("TIME")[wanted])
    pairs = first[wanted] * len(tile.antenna_names) + second[wanted]
    _, start, which = np.unique(pairs, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(start))
    rows = np.full((start.size, len(tile.times_mjd_s)), -1, dtype=np.int64)
    rows[rank[which.reshape(-1)], times] = wanted
    sample_bytes = 24  # of one sample: DATA, FLAG and the amplitudes' temporaries
    per_baseline = sample_bytes * len(tile.times_mjd_s) * len(tile.freqs_hz) * len(tile.correlations)
    size = max(1, CHUNK_BYTES // per_baseline)
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


def _read(main: table, column: str, rows: Rows) -> NDArray[Any]:
    """Cells of a column, shape (*rows.shape, channels, polarisations); zero data and set flags where a row is -1."""
    cell = main.getcell(column, 0)
    out = (
        np.ones((rows.size, *cell.shape), dtype=bool)
        if cell.dtype == bool
        else np.zeros((rows.size, *cell.shape), cell.dtype)
    )
    flat = rows.reshape(-1)
    order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
    at = 0
    for run in _runs(flat[order]):
        out[order[at : at + run.size]] = main.getcol(column, int(run[0]), run.size)
        at += run.size
    return out.reshape(*rows.shape, *cell.shape)


def _write_flags(main: table, flags: NDArray[np.bool_], rows: Rows) -> None:
    flat, cells = rows.reshape(-1), flags.reshape(rows.size, *flags.shape[2:])
    order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
    at = 0
    for run in _runs(flat[order]):
        main.putcol("FLAG", cells[order[at : at + run.size]], int(run[0]), run.size)
        at += run.size


def _runs(rows: Rows) -> list[Rows]:
    """Ascending row numbers split into runs of consecutive ones."""
    return [run for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if run.size]


def _blocks(main: table) -> list[tuple[int, int]]:
    rows = main.nrows()
    size = max(1, CHUNK_BYTES // (2 * main.getcell("DATA", 0).nbytes))
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


def _tally(main: table, slots: int, channels: int) -> FlagCount:
    count = FlagCount.of(slots, channels)
    for start, rows in _blocks(main):
        count.add(*(main.getcol(name, start, rows) for name in ("FLAG", "ANTENNA1", "ANTENNA2")))
    return count
