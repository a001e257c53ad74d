"""A Measurement Set's rows by baseline: the rows of each, and their cells read and written for many at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.formats.arrays import BufferPool, Mask, Rows, split_runs
from contimg.formats.ms.info import MSInfo

_SAMPLE_BYTES = 24  # of one sample: DATA, FLAG and what is computed from them


def baseline_chunks(
    main: table, ms: MSInfo, dead: dict[int, str], chunk_bytes: int
) -> Iterator[tuple[Rows, Mask]]:  # fmt: skip
    """Split a Measurement Set into chunks of baselines.

    Baselines keep the order of their first rows, so that a chunk is a run of consecutive rows at each time.

    Parameters
    ----------
    main, ms : the main table and its metadata.
    dead : slots of the dead antennas.
    chunk_bytes : memory that one chunk takes.

    Yields
    ------
    Row numbers, shape (times, baselines), -1 where a time is missing; and whether a baseline joins two live antennas,
    shape (baselines,).
    """
    slots, times = len(ms.antenna_names), np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
    pair_of_row = main.getcol("ANTENNA1").astype(np.int64) * slots + main.getcol("ANTENNA2")
    pairs, first_row, pair_index = np.unique(pair_of_row, return_index=True, return_inverse=True)
    order = np.argsort(first_row)
    rows = np.full((len(ms.times_mjd_s), pairs.size), -1, dtype=np.int64)
    rows[times, np.argsort(order)[pair_index.reshape(-1)]] = np.arange(pair_of_row.size)
    ant1, ant2 = pairs[order] // slots, pairs[order] % slots
    is_live = (ant1 != ant2) & ~np.isin(ant1, [*dead]) & ~np.isin(ant2, [*dead])
    size = max(1, chunk_bytes // (_SAMPLE_BYTES * len(rows) * len(ms.freqs_hz) * len(ms.correlations)))
    for start in range(0, pairs.size, size):
        yield rows[:, start : start + size], is_live[start : start + size]


def read_cells(main: table, column: str, rows: Rows, buffers: BufferPool) -> NDArray[Any]:
    """Read cells of a column; zero data and set flags where a row is -1.

    Parameters
    ----------
    main, column : the table and the column's name.
    rows : row numbers, any shape.
    buffers : the cells are placed in it under the column's name.

    Returns
    -------
    The cells, shape (*rows.shape, channels, correlations).
    """
    cell = main.getcell(column, 0)
    cells = buffers.array(column, (rows.size, *cell.shape), cell.dtype)
    cells[rows.reshape(-1) < 0] = cell.dtype == bool
    for positions, start in _runs(rows):
        main.getcolnp(column, cells[positions], start, positions.stop - positions.start)
    return cells.reshape(*rows.shape, *cell.shape)


def write_cells(main: table, column: str, values: NDArray[Any], rows: Rows) -> None:
    """Write cells of a column, shaped as `read_cells` returns them; those of a row -1 are dropped.

    Parameters
    ----------
    main, column : the table, writable, and the column's name.
    values : cells, shape (*rows.shape, channels, correlations).
    rows : row numbers, any shape.
    """
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
