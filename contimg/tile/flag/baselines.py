"""A Measurement Set's rows by baseline: which rows a baseline has, and cells read and written for many at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.formats.arrays import BufferPool, split_runs
from contimg.formats.ms.info import MSInfo

Rows = NDArray[np.int64]
_SAMPLE_BYTES = 24  # of one sample: DATA, FLAG and what is computed from them


def baseline_chunks(
    main: table, tile: MSInfo, dead: dict[int, str], chunk_bytes: int
) -> Iterator[tuple[Rows, NDArray[np.bool_]]]:
    """Rows as (times, baselines), -1 where a time is missing, and which of the baselines join two live antennas.

    Baselines keep the order of their first rows, so that a chunk is a run of consecutive rows at each time.
    """
    slots, times = len(tile.antenna_names), np.searchsorted(tile.times_mjd_s, main.getcol("TIME"))
    pairs = main.getcol("ANTENNA1").astype(np.int64) * slots + main.getcol("ANTENNA2")
    found, start, which = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(start)
    rows = np.full((len(tile.times_mjd_s), found.size), -1, dtype=np.int64)
    rows[times, np.argsort(order)[which.reshape(-1)]] = np.arange(pairs.size)
    first, second = found[order] // slots, found[order] % slots
    listed = np.array(sorted(dead), dtype=np.int64)
    live = (first != second) & ~np.isin(first, listed) & ~np.isin(second, listed)
    size = max(1, chunk_bytes // (_SAMPLE_BYTES * len(rows) * len(tile.freqs_hz) * len(tile.correlations)))
    for begin in range(0, found.size, size):
        yield rows[:, begin : begin + size], live[begin : begin + size]


def read(main: table, column: str, rows: Rows, space: BufferPool) -> NDArray[Any]:
    """Cells of a column, shape (*rows.shape, channels, polarisations); zero data and set flags where a row is -1.

    They lie in `space` under the column's name.
    """
    cell = main.getcell(column, 0)
    out = space.array(column, (rows.size, *cell.shape), cell.dtype)
    out[rows.reshape(-1) < 0] = cell.dtype == bool
    for into, start in _runs(rows):
        main.getcolnp(column, out[into], start, into.stop - into.start)
    return out.reshape(*rows.shape, *cell.shape)


def write(main: table, column: str, values: NDArray[Any], rows: Rows) -> None:
    """Put cells of a column, shaped as `read` gives them; those of a row -1 go nowhere."""
    cells = values.reshape(rows.size, *values.shape[rows.ndim :])
    for into, start in _runs(rows):
        main.putcol(column, cells[into], start, into.stop - into.start)


def _runs(rows: Rows) -> Iterator[tuple[slice, int]]:
    """Where in the flattened `rows` there are runs of consecutive row numbers, and the first number of each."""
    flat = rows.reshape(-1)
    present = np.flatnonzero(flat >= 0)
    if not present.size:
        return
    for run in split_runs((np.diff(present) != 1) | (np.diff(flat[present]) != 1)):
        first, last = present[run.start], present[run.stop - 1]
        yield slice(int(first), int(last) + 1), int(flat[first])
