"""The visibilities of a tile: read ahead in threads, rotated to the phase centre, written to the Measurement Set."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import zip_longest
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.formats.arrays import BufferPool
from contimg.formats.ms.phase_drift import UNEVEN, Axes, MSBlock, RowChanges, Sums, rotate_block
from contimg.formats.ms.subtables import in_casa_order
from contimg.formats.ms.writer import MainTable
from contimg.formats.uvh5.group import SubbandGroup
from contimg.formats.uvh5.header import SubbandHeader
from contimg.formats.uvh5.reader import SubbandReader
from contimg.tile.convert.geometry import Placement, TileGeometry, row_runs

Result = TypeVar("Result")
# Each flagged value is counted under the first that holds, in the order of the kernel's counts; "absent" are rows that
# a file lacks and others of its group have.
FLAG_REASONS = ("in the files", "not numbers", "too large", "zero", "without samples", "absent")
_SWAPPED_CODES = {-3: -4, -4: -3, -7: -8, -8: -7}  # with its antennas swapped, RL becomes LR and XY becomes YX
_WEIGHT_ROWS = 1 << 16
_MIB = 1 << 20


class UnevenWeights(Exception):
    """The samples differ between channels, so the Measurement Set needs a WEIGHT_SPECTRUM."""


class _RotatedRows(NamedTuple):
    """Rows of one subband, ready to be written.

    `targets` are runs of the tile's rows; all arrays are in the memory of `pool`.
    """

    subband: int
    targets: list[slice]
    block: MSBlock
    sums: Sums
    counts: NDArray[np.int64]
    pool: BufferPool

    def parts(self) -> Iterator[tuple[slice, slice]]:
        """Yield each run of the tile's rows and the same rows in the block."""
        start = 0
        for target in self.targets:
            stop = start + target.stop - target.start
            yield target, slice(start, stop)
            start = stop


def write_visibilities(
    main: MainTable, group: SubbandGroup, geometry: TileGeometry, block_mb: int, weight_spectrum: bool
) -> dict[str, int]:
    """Write all rows: times, antennas and uvw, every subband's visibilities and flags, and the weights.

    Two threads read and rotate the next blocks while casacore writes one.

    Parameters
    ----------
    main : the table to write to.
    group, geometry : of the tile.
    block_mb : size of the blocks that are read at once, MiB.
    weight_spectrum : whether the table has a WEIGHT_SPECTRUM.

    Returns
    -------
    number of flagged values by reason, see `FLAG_REASONS`.

    Raises
    ------
    BadFile : a file has no usable value, or is a copy of another.
    UnevenWeights : a WEIGHT_SPECTRUM is needed and the table has none.
    """
    shape = (group.rows, group.correlations)
    sums = Sums(np.zeros(shape, np.float32), np.zeros(shape, np.int32))
    # In the order of their channels.
    subbands = sorted(group.headers, key=lambda subband: group.channel_slice(subband).start)
    placements = {subband: Placement.of(group.headers[subband], group) for subband in subbands}
    counts = np.zeros(6, dtype=np.int64)
    good = dict.fromkeys(group.headers, 0)
    written = 0  # integrations
    free: deque[BufferPool] = deque()
    with ExitStack() as files:
        jobs = _rotations(files, free, group, geometry, placements, block_mb * _MIB, weight_spectrum)
        for rotated in run_ahead(jobs):
            counts += rotated.counts
            good[rotated.subband] += int(rotated.sums.good.sum())
            uneven = _add_sums(sums, rotated) or bool(rotated.counts[UNEVEN])
            if uneven and not weight_spectrum:
                raise UnevenWeights
            written = _write_rows(main, group, geometry, written, rotated.targets[-1].stop)
            channels = group.channel_slice(rotated.subband)
            data, flags, weights = rotated.block
            for target, part in rotated.parts():
                main.write_block(target, channels, MSBlock(data[part], flags[part], weights[part]))
            free.append(rotated.pool)
    _write_rows(main, group, geometry, written, group.rows)
    for subband, header in group.headers.items():
        if not good[subband]:
            raise BadFile(header.path, "it has no usable value (all flagged, zero, not a number or without samples)")
    for subband in group.missing:
        _write_flagged(main, group, subband, slice(0, group.rows), weight_spectrum)
    absent = sum(
        _write_flagged(main, group, subband, rows, weight_spectrum)
        for subband, placement in placements.items()
        for rows in placement.absent()
    )
    for start in range(0, group.rows, _WEIGHT_ROWS):
        rows = slice(start, start + _WEIGHT_ROWS)
        main.write_weights(start, (sums.samples[rows] / np.maximum(sums.good[rows], 1)).astype(np.float32))
    return dict(zip(FLAG_REASONS, [*counts[:UNEVEN].tolist(), absent], strict=True))


def run_ahead(jobs: Iterator[Callable[[], Result]], threads: int = 2) -> Iterator[Result]:
    """Run jobs in threads and yield their results in order.

    An exception of a job is raised in its place; later jobs are then not started.

    Parameters
    ----------
    jobs : functions; at most `threads` + 1 are taken before their results are consumed.
    threads : number of threads.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        futures: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                futures.append(pool.submit(job))
                if len(futures) > threads:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


def _write_rows(main: MainTable, group: SubbandGroup, geometry: TileGeometry, written: int, rows: int) -> int:
    """Write times, antennas and uvw of the integrations up to a number of rows; returns how many are written."""
    last = -(-rows // group.slots_1.size)
    if last > written:
        main.write_rows(written, last, geometry.uvw_m(written, last))
    return max(written, last)


def _rotations(
    files: ExitStack, free: deque[BufferPool], group: SubbandGroup, geometry: TileGeometry,
    placements: dict[int, Placement], size_bytes: int, weight_spectrum: bool,
) -> Iterator[Callable[[], _RotatedRows]]:  # fmt: skip
    """The reading and rotating of all files as jobs, one portion of one file each, in free or new buffer pools.

    All subbands of some rows precede the next rows, so that casacore writes each of its tiles once.
    """
    readers: dict[int, SubbandReader] = {}
    fingerprints: dict[bytes, SubbandHeader] = {}
    for portions in zip_longest(*(placement.portions(size_bytes) for placement in placements.values())):
        for (subband, placement), portion in zip(placements.items(), portions, strict=True):
            if portion is None:
                continue
            if subband not in readers:
                readers[subband] = _open_reader(files, placement.header, fingerprints)
            pool = free.popleft() if free else BufferPool()
            reader = readers[subband]
            yield partial(_rotate, reader, pool, group, geometry, placement, subband, portion, weight_spectrum)


def _open_reader(
    files: ExitStack, header: SubbandHeader, fingerprints: dict[bytes, SubbandHeader]
) -> SubbandReader:  # fmt: skip
    """Open a file for reading in threads; raises BadFile when its visibilities are those of an earlier file."""
    reader = files.enter_context(SubbandReader(header))
    fingerprint = reader.fingerprint()
    if fingerprint in fingerprints:
        first, second = sorted((header.path, fingerprints[fingerprint].path))
        raise BadFile(second, f"its visibilities are those of {first.name}: one of the two is a duplicate")
    if fingerprint is not None:
        fingerprints[fingerprint] = header
    return reader


def _rotate(
    reader: SubbandReader, pool: BufferPool, group: SubbandGroup, geometry: TileGeometry, placement: Placement,
    subband: int, portion: tuple[int, int], weight_spectrum: bool,
) -> _RotatedRows:  # fmt: skip
    """Read a portion of a file's rows, [start, stop), and rotate them."""
    integration, baseline, swapped = placement.cells(*portion)
    rows = integration * placement.grid[1] + baseline
    order = np.argsort(rows)
    target = np.empty_like(order)
    target[order] = np.arange(order.size)
    shape = (rows.size, group.channels, group.correlations)
    out = MSBlock(
        pool.array("rotated", shape, np.complex64),
        pool.array("flagged", shape, np.bool_),
        pool.array("weights", shape if weight_spectrum else (0, *shape[1:]), np.float32),
    )
    out.flags[...] = False
    sums = Sums(np.zeros((rows.size, shape[2]), np.float32), np.zeros((rows.size, shape[2]), np.int32))
    changes = RowChanges(geometry.w_change_m(integration, baseline), swapped, target)
    counts = rotate_block(*reader.read_block(*portion, pool), changes, _axes(placement.header), sums, out)
    return _RotatedRows(subband, row_runs(rows[order]), out, sums, np.asarray(counts), pool)


def _add_sums(total: Sums, rotated: _RotatedRows) -> bool:
    """Add a block's sums to the tile's; returns whether its numbers of samples differ from those so far."""
    uneven = False
    for target, part in rotated.parts():
        samples, good = rotated.sums.samples[part], rotated.sums.good[part]
        # Mean against mean, multiplied out; where one is empty there is no difference.
        before = total.samples[target] * good
        uneven |= bool((np.abs(before - samples * total.good[target]) > 1e-4 * np.abs(before)).any())
        total.samples[target] += samples
        total.good[target] += good
    return uneven


def _axes(header: SubbandHeader) -> Axes:
    codes = header.polarizations
    ordered = in_casa_order(codes)
    swapped = [_SWAPPED_CODES.get(code, code) for code in ordered]
    # A cross-hand whose counterpart is not in the file stands for it.
    swapped = [code if code in codes else code_of_file for code, code_of_file in zip(swapped, ordered, strict=True)]
    source = [[codes.index(code) for code in ordered], [codes.index(code) for code in swapped]]
    freqs = header.freqs_hz
    step = float(freqs[-1] - freqs[0]) / (freqs.size - 1) if freqs.size > 1 else -header.channel_width_hz
    return Axes(float(freqs[0]), step, np.array(source))


def _write_flagged(main: MainTable, group: SubbandGroup, subband: int, rows: slice, weight_spectrum: bool) -> int:
    """Write flagged zeros to rows of a subband, one integration at a time; returns the number of values."""
    for start in range(rows.start, rows.stop, group.slots_1.size):
        shape = (min(group.slots_1.size, rows.stop - start), group.channels, group.correlations)
        weights = np.zeros(shape if weight_spectrum else (0, *shape[1:]), np.float32)
        block = MSBlock(np.zeros(shape, np.complex64), np.ones(shape, np.bool_), weights)
        main.write_block(slice(start, start + shape[0]), group.channel_slice(subband), block)
    return int(rows.stop - rows.start) * group.channels * group.correlations
