"""The visibilities of a tile: read ahead, turned to the phase centre, put into their rows and channels."""

from collections.abc import Iterator
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
from contimg.uvh5.reader import Block

_OTHER_WAY = {-3: -4, -4: -3, -7: -8, -8: -7}  # a baseline the other way round: RL is LR, XY is YX
_ROWS_OF_WEIGHTS = 1 << 16
_MIB = 1 << 20


class UnevenWeights(Exception):
    """The samples differ from channel to channel, so the Measurement Set has to have a WEIGHT_SPECTRUM."""


class _Portion(NamedTuple):
    """Rows [start, stop) of one subband's file."""

    subband: int
    start: int
    stop: int
    block: Block


def put_visibilities(main: MainTable, tile: Tile, sky: Sky, block_mb: int, weight_spectrum: bool) -> FlagCounts:
    """Write every subband's visibilities and flags, then the weights.

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
    for portion in ahead(_portions(placements, block_mb * _MIB)):
        subband = portion.subband
        found = _put_portion(main, tile, sky, placements[subband], portion, sums, weight_spectrum)
        counts += found
        if counts[UNEVEN] and not weight_spectrum:
            raise UnevenWeights
        values = (portion.stop - portion.start) * tile.channels * correlations
        good[subband] += values - int(found[:UNEVEN].sum())
        if portion.stop == tile.headers[subband].rows and not good[subband]:
            path = tile.headers[subband].path
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


def _portions(placements: dict[int, Placement], size_bytes: int) -> Iterator[_Portion]:
    """Every file's rows, a portion at a time; raises BadFile for the copy of another file."""
    seen: dict[bytes, SubbandHeader] = {}
    for subband, placement in placements.items():
        with SubbandReader(placement.header) as reader:
            fingerprint = reader.fingerprint()
            if fingerprint in seen:
                raise BadFile(
                    placement.header.path,
                    f"its visibilities are those of {seen[fingerprint].path.name}: one of the two is a duplicate",
                )
            if fingerprint is not None:
                seen[fingerprint] = placement.header
            for start, stop in placement.portions(size_bytes):
                yield _Portion(subband, start, stop, reader.block(start, stop))


def _put_portion(
    main: MainTable, tile: Tile, sky: Sky, placement: Placement, portion: _Portion, sums: Sums, weight_spectrum: bool
) -> NDArray[np.int64]:
    integration, baseline, swapped = placement.cells(portion.start, portion.stop)
    rows = integration * placement.grid[1] + baseline
    order = np.argsort(rows)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    targets = runs(rows[order])
    shape = (rows.size, tile.channels, len(tile.reference.polarizations))
    out = Rotated(
        np.empty(shape, np.complex64),
        np.empty(shape, np.bool_),
        np.empty(shape if weight_spectrum else (0, *shape[1:]), np.float32),
    )
    changes = RowChanges(sky.w_change_m(integration, baseline), swapped, place)
    contiguous = len(targets) == 1
    mine = targets[0] if contiguous else rows[order]
    of_block = Sums(sums.samples[mine], sums.good[mine])
    counts = rotate_block(*portion.block, changes, _axes(placement.header), of_block, out)
    if not contiguous:
        sums.samples[mine], sums.good[mine] = of_block
    begin = 0
    for target in targets:
        end = begin + target.stop - target.start
        part = Rotated(out.data[begin:end], out.flags[begin:end], out.weights[begin:end])
        main.put_block(target, tile.channel_slice(portion.subband), part)
        begin = end
    return np.asarray(counts)


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
