"""The visibilities of a tile: read ahead, turned to the phase centre, put into their rows and channels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg.conversion.ahead import ahead
from contimg.conversion.placement import Placement, runs
from contimg.conversion.product import FlagCounts
from contimg.conversion.sky import Sky
from contimg.errors import BadFile
from contimg.measurement_set.fringe import UNEVEN, Axes, Rotated, RowChanges, Sums, rotate_block
from contimg.measurement_set.subtables import in_casa_order
from contimg.measurement_set.writer import MainTable
from contimg.tile import Tile
from contimg.uvh5 import SubbandHeader, SubbandReader

_OTHER_WAY = {-3: -4, -4: -3, -7: -8, -8: -7}  # a baseline the other way round: RL is LR, XY is YX
_ROWS_OF_WEIGHTS = 1 << 16
_MIB = 1 << 20


class UnevenWeights(Exception):
    """The samples differ from channel to channel, so the Measurement Set has to have a WEIGHT_SPECTRUM."""


class _Turned(NamedTuple):
    """Rows of one subband, ready to be written.

    `targets` are the tile's rows in runs of neighbours; `last` says that no more of the subband's rows follow.
    """

    subband: int
    targets: list[slice]
    block: Rotated
    sums: Sums
    counts: NDArray[np.int64]
    last: bool


def put_visibilities(main: MainTable, tile: Tile, sky: Sky, block_mb: int, weight_spectrum: bool) -> FlagCounts:
    """Write every subband's visibilities and flags, then the weights.

    Two threads read and turn the next blocks while casacore writes one.

    Raises
    ------
    BadFile for a file without any usable value, or that is another's copy; UnevenWeights when there is no
    WEIGHT_SPECTRUM and there has to be one.
    """
    correlations = len(tile.reference.polarizations)
    sums = Sums(np.zeros((tile.rows, correlations), np.float32), np.zeros((tile.rows, correlations), np.int32))
    placements = {subband: Placement.of(header, tile) for subband, header in tile.headers.items()}
    counts = np.zeros(6, dtype=np.int64)
    good = dict.fromkeys(tile.headers, 0)
    with ExitStack() as files:
        for turned in ahead(_jobs(files, tile, sky, placements, block_mb * _MIB, weight_spectrum)):
            counts += turned.counts
            good[turned.subband] += int(turned.sums.good.sum())
            uneven = _add(sums, turned) or bool(turned.counts[UNEVEN])
            if uneven and not weight_spectrum:
                raise UnevenWeights
            _put(main, tile.channel_slice(turned.subband), turned)
            if turned.last and not good[turned.subband]:
                path = tile.headers[turned.subband].path
                raise BadFile(path, "it holds no usable value (all flagged, zero, not a number or without samples)")
    absent = 0
    for subband, placement in placements.items():
        absent += sum(_put_gap(main, tile, subband, rows, weight_spectrum) for rows in placement.absent())
    for subband in tile.missing:
        _put_gap(main, tile, subband, slice(0, tile.rows), weight_spectrum)
    for start in range(0, tile.rows, _ROWS_OF_WEIGHTS):
        part = slice(start, start + _ROWS_OF_WEIGHTS)
        main.put_weights(start, (sums.samples[part] / np.maximum(sums.good[part], 1)).astype(np.float32))
    given, not_a_number, too_large, zero, no_samples = (int(count) for count in counts[:UNEVEN])
    return FlagCounts(given, not_a_number, too_large, zero, no_samples, absent)


def _jobs(
    files: ExitStack, tile: Tile, sky: Sky, placements: dict[int, Placement], size_bytes: int, weight_spectrum: bool
) -> Iterator[Callable[[], _Turned]]:
    """The reading and turning of every file's rows, a portion at a time; BadFile for the copy of another file."""
    seen: dict[bytes, SubbandHeader] = {}
    for subband, placement in placements.items():
        with ExitStack() as opening:
            reader = opening.enter_context(SubbandReader(placement.header))
            fingerprint = reader.fingerprint()
            reader.prepare()
            files.push(opening.pop_all())  # closed when the last job is done
        if fingerprint in seen:
            raise BadFile(
                placement.header.path,
                f"its visibilities are those of {seen[fingerprint].path.name}: one of the two is a duplicate",
            )
        if fingerprint is not None:
            seen[fingerprint] = placement.header
        for start, stop in placement.portions(size_bytes):
            yield partial(_turn, reader, tile, sky, placement, subband, start, stop, weight_spectrum)


def _turn(
    reader: SubbandReader, tile: Tile, sky: Sky, placement: Placement, subband: int, start: int, stop: int,
    weight_spectrum: bool,
) -> _Turned:  # fmt: skip
    """Read rows [start, stop) of a file and turn them."""
    integration, baseline, swapped = placement.cells(start, stop)
    rows = integration * placement.grid[1] + baseline
    order = np.argsort(rows)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    shape = (rows.size, tile.channels, len(tile.reference.polarizations))
    out = Rotated(
        np.empty(shape, np.complex64),
        np.empty(shape, np.bool_),
        np.empty(shape if weight_spectrum else (0, *shape[1:]), np.float32),
    )
    sums = Sums(np.zeros((rows.size, shape[2]), np.float32), np.zeros((rows.size, shape[2]), np.int32))
    changes = RowChanges(sky.w_change_m(integration, baseline), swapped, place)
    counts = rotate_block(*reader.block(start, stop), changes, _axes(placement.header), sums, out)
    return _Turned(subband, runs(rows[order]), out, sums, np.asarray(counts), stop == placement.header.rows)


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


def _put_gap(main: MainTable, tile: Tile, subband: int, rows: slice, weight_spectrum: bool) -> int:
    """Rows without data: zeros, flagged, one integration's worth at a time; returns how many values."""
    step = tile.slots_1.size
    channels, correlations = tile.channels, len(tile.reference.polarizations)
    for start in range(rows.start, rows.stop, step):
        shape = (min(step, rows.stop - start), channels, correlations)
        weights = np.zeros(shape if weight_spectrum else (0, *shape[1:]), np.float32)
        block = Rotated(np.zeros(shape, np.complex64), np.ones(shape, np.bool_), weights)
        main.put_block(slice(start, start + shape[0]), tile.channel_slice(subband), block)
    return int(rows.stop - rows.start) * channels * correlations
