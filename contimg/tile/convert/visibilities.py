"""The visibilities of a tile: read ahead, turned to the phase centre, put into their rows and channels."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.arrays import BufferPool
from contimg.formats.ms.phase_drift import UNEVEN, Axes, Rotated, RowChanges, Sums, rotate_block
from contimg.formats.ms.subtables import in_casa_order
from contimg.formats.ms.writer import MainTable
from contimg.formats.uvh5 import SubbandHeader, SubbandReader
from contimg.formats.uvh5.group import SubbandGroup
from contimg.tile.convert.prefetch import ahead
from contimg.tile.convert.result import FlagCounts
from contimg.tile.convert.row_placement import Placement, runs
from contimg.tile.convert.uvw import Sky

_OTHER_WAY = {-3: -4, -4: -3, -7: -8, -8: -7}  # a baseline the other way round: RL is LR, XY is YX
_ROWS_OF_WEIGHTS = 1 << 16
_MIB = 1 << 20


class UnevenWeights(Exception):
    """The samples differ from channel to channel, so the Measurement Set has to have a WEIGHT_SPECTRUM."""


class _Turned(NamedTuple):
    """Rows of one subband, ready to be written.

    `targets` are the tile's rows in runs of neighbours; all lies in `space`.
    """

    subband: int
    targets: list[slice]
    block: Rotated
    sums: Sums
    counts: NDArray[np.int64]
    space: BufferPool


def put_tile(main: MainTable, tile: SubbandGroup, sky: Sky, block_mb: int, weight_spectrum: bool) -> FlagCounts:
    """Write all rows: what they say of themselves, every subband's visibilities and flags, and the weights.

    Two threads read and turn the next blocks while casacore writes one.

    Raises
    ------
    BadFile for a file without any usable value, or that is another's copy; UnevenWeights when there is no
    WEIGHT_SPECTRUM and there has to be one.
    """
    correlations = len(tile.reference.polarizations)
    sums = Sums(np.zeros((tile.rows, correlations), np.float32), np.zeros((tile.rows, correlations), np.int32))
    placements = {subband: Placement.of(tile.headers[subband], tile) for subband in _by_channel(tile)}
    counts = np.zeros(6, dtype=np.int64)
    good = dict.fromkeys(tile.headers, 0)
    described = 0
    free: deque[BufferPool] = deque()
    with ExitStack() as files:
        for turned in ahead(_jobs(files, free, tile, sky, placements, block_mb * _MIB, weight_spectrum)):
            counts += turned.counts
            good[turned.subband] += int(turned.sums.good.sum())
            uneven = _add(sums, turned) or bool(turned.counts[UNEVEN])
            if uneven and not weight_spectrum:
                raise UnevenWeights
            described = _describe(main, tile, sky, described, turned.targets[-1].stop)
            _put(main, tile.channel_slice(turned.subband), turned)
            free.append(turned.space)
    _describe(main, tile, sky, described, tile.rows)
    for subband, header in tile.headers.items():
        if not good[subband]:
            raise BadFile(header.path, "it holds no usable value (all flagged, zero, not a number or without samples)")
    absent = _put_gaps(main, tile, placements, weight_spectrum)
    for start in range(0, tile.rows, _ROWS_OF_WEIGHTS):
        part = slice(start, start + _ROWS_OF_WEIGHTS)
        main.put_weights(start, (sums.samples[part] / np.maximum(sums.good[part], 1)).astype(np.float32))
    given, not_a_number, too_large, zero, no_samples = (int(count) for count in counts[:UNEVEN])
    return FlagCounts(given, not_a_number, too_large, zero, no_samples, absent)


def _by_channel(tile: SubbandGroup) -> list[int]:
    """The subbands in the order of their channels."""
    return sorted(tile.headers, key=lambda subband: tile.channel_slice(subband).start)


def _describe(main: MainTable, tile: SubbandGroup, sky: Sky, done: int, row: int) -> int:
    """Write what the rows of integrations from `done` to that of a row say of themselves; returns the next one."""
    last = -(-row // tile.slots_1.size)
    if last > done:
        main.put_rows(done, last, sky.uvw_m(done, last))
    return max(done, last)


def _jobs(
    files: ExitStack,
    free: deque[BufferPool],
    tile: SubbandGroup,
    sky: Sky,
    placements: dict[int, Placement],
    size_bytes: int,
    weight_spectrum: bool,
) -> Iterator[Callable[[], _Turned]]:
    """The reading and turning of all files, a portion of each at a time, in spaces that are free again or new.

    All subbands of some rows come before the next rows: so casacore's tiles are written once, one after the other.
    Raises BadFile for the copy of another file.
    """
    readers: dict[int, SubbandReader] = {}
    seen: dict[bytes, SubbandHeader] = {}
    for portions in zip_longest(*(placement.portions(size_bytes) for placement in placements.values())):
        for (subband, placement), portion in zip(placements.items(), portions, strict=True):
            if portion is None:
                continue
            if subband not in readers:
                readers[subband] = _opened(files, placement.header, seen)
            space = free.popleft() if free else BufferPool()
            yield partial(_turn, readers[subband], space, tile, sky, placement, subband, portion, weight_spectrum)


def _opened(files: ExitStack, header: SubbandHeader, seen: dict[bytes, SubbandHeader]) -> SubbandReader:
    """A file's reader, ready for threads; raises BadFile when the visibilities are those of a file seen before."""
    reader = files.enter_context(SubbandReader(header))
    fingerprint = reader.fingerprint()
    if fingerprint in seen:
        first, second = sorted((header.path, seen[fingerprint].path))
        raise BadFile(second, f"its visibilities are those of {first.name}: one of the two is a duplicate")
    if fingerprint is not None:
        seen[fingerprint] = header
    reader.prepare()
    return reader


def _turn(
    reader: SubbandReader,
    space: BufferPool,
    tile: SubbandGroup,
    sky: Sky,
    placement: Placement,
    subband: int,
    portion: tuple[int, int],
    weight_spectrum: bool,
) -> _Turned:
    """Read a portion of a file's rows, [start, stop), and turn them."""
    start, stop = portion
    integration, baseline, swapped = placement.cells(start, stop)
    rows = integration * placement.grid[1] + baseline
    order = np.argsort(rows)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    shape = (rows.size, tile.channels, len(tile.reference.polarizations))
    out = Rotated(
        space.array("turned", shape, np.complex64),
        space.array("flagged", shape, np.bool_),
        space.array("weights", shape if weight_spectrum else (0, *shape[1:]), np.float32),
    )
    out.flags[...] = False
    sums = Sums(np.zeros((rows.size, shape[2]), np.float32), np.zeros((rows.size, shape[2]), np.int32))
    changes = RowChanges(sky.w_change_m(integration, baseline), swapped, place)
    counts = rotate_block(*reader.block(start, stop, space), changes, _axes(placement.header), sums, out)
    return _Turned(subband, runs(rows[order]), out, sums, np.asarray(counts), space)


def _add(total: Sums, turned: _Turned) -> bool:
    """Add a block's sums to the tile's; returns whether its numbers of samples differ from those so far."""
    begin, uneven = 0, False
    for target in turned.targets:
        part = slice(begin, begin + target.stop - target.start)
        samples, good = turned.sums.samples[part], turned.sums.good[part]
        # Mean against mean, multiplied out; where one has none there is nothing to differ.
        before = total.samples[target] * good
        uneven |= bool((np.abs(before - samples * total.good[target]) > 1e-4 * np.abs(before)).any())
        total.samples[target] += samples
        total.good[target] += good
        begin = part.stop
    return uneven


def _put(main: MainTable, channels: slice, turned: _Turned) -> None:
    begin = 0
    for target in turned.targets:
        end = begin + target.stop - target.start
        data, flags, weights = turned.block
        main.put_block(target, channels, Rotated(data[begin:end], flags[begin:end], weights[begin:end]))
        begin = end


def _axes(header: SubbandHeader) -> Axes:
    codes = header.polarizations
    wanted = in_casa_order(codes)
    # A single cross-hand cannot be turned the other way round; the file's own stands in.
    turned = [codes.index(_OTHER_WAY.get(code, code)) for code in wanted]
    freqs = header.freqs_hz
    step = float(freqs[-1] - freqs[0]) / (freqs.size - 1) if freqs.size > 1 else -header.channel_width_hz
    return Axes(float(freqs[0]), step, np.array([[codes.index(code) for code in wanted], turned]))


def _put_gaps(main: MainTable, tile: SubbandGroup, placements: dict[int, Placement], weight_spectrum: bool) -> int:
    """Flag what no file fills; returns how many values of the files that are there are absent."""
    for subband in tile.missing:
        _put_gap(main, tile, subband, slice(0, tile.rows), weight_spectrum)
    return sum(
        _put_gap(main, tile, subband, rows, weight_spectrum)
        for subband, placement in placements.items()
        for rows in placement.absent()
    )


def _put_gap(main: MainTable, tile: SubbandGroup, subband: int, rows: slice, weight_spectrum: bool) -> int:
    """Rows without data: zeros, flagged, one integration's worth at a time; returns how many values."""
    step = tile.slots_1.size
    channels, correlations = tile.channels, len(tile.reference.polarizations)
    for start in range(rows.start, rows.stop, step):
        shape = (min(step, rows.stop - start), channels, correlations)
        weights = np.zeros(shape if weight_spectrum else (0, *shape[1:]), np.float32)
        block = Rotated(np.zeros(shape, np.complex64), np.ones(shape, np.bool_), weights)
        main.put_block(slice(start, start + shape[0]), tile.channel_slice(subband), block)
    return int(rows.stop - rows.start) * channels * correlations
