"""A Measurement Set's rows by baseline: which rows a baseline has, and cells read and written for many at once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.measurement_set.description import Description

Rows = NDArray[np.int64]
_SAMPLE_BYTES = 24  # of one sample: DATA, FLAG and what is computed from them


def baseline_chunks(
    main: table, tile: Description, dead: dict[int, str], chunk_bytes: int
) -> Iterator[tuple[Rows, NDArray[np.bool_]]]:
    """Rows as (baselines, times), -1 where a time is missing, and which of the baselines join two live antennas.

    Baselines keep the order of their first rows, so that a chunk is a few runs of consecutive rows.
    """
    slots, times = len(tile.antenna_names), np.searchsorted(tile.times_mjd_s, main.getcol("TIME"))
    pairs = main.getcol("ANTENNA1").astype(np.int64) * slots + main.getcol("ANTENNA2")
    found, start, which = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(start)
    rows = np.full((found.size, len(tile.times_mjd_s)), -1, dtype=np.int64)
    rows[np.argsort(order)[which.reshape(-1)], times] = np.arange(pairs.size)
    first, second = found[order] // slots, found[order] % slots
    listed = np.array(sorted(dead), dtype=np.int64)
    live = (first != second) & ~np.isin(first, listed) & ~np.isin(second, listed)
    size = max(1, chunk_bytes // (_SAMPLE_BYTES * rows.shape[1] * len(tile.freqs_hz) * len(tile.correlations)))
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size], live[begin : begin + size]


def read(main: table, column: str, rows: Rows) -> NDArray[Any]:
    """Cells of a column, shape (*rows.shape, channels, polarisations); zero data and set flags where a row is -1."""
    cell = main.getcell(column, 0)
    out = np.full((rows.size, *cell.shape), cell.dtype == bool, dtype=cell.dtype)
    for into, run in _runs(rows):
        out[into] = main.getcol(column, int(run[0]), run.size)
    return out.reshape(*rows.shape, *cell.shape)


def write(main: table, column: str, values: NDArray[Any], rows: Rows) -> None:
    """Put cells of a column, shaped as `read` gives them; those of a row -1 go nowhere."""
    cells = values.reshape(rows.size, *values.shape[rows.ndim :])
    for into, run in _runs(rows):
        main.putcol(column, cells[into], int(run[0]), run.size)


def _runs(rows: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Runs of consecutive row numbers, and where in the flattened `rows` each of them stands."""
    flat = rows.reshape(-1)
    order = np.argsort(flat, kind="stable")[np.count_nonzero(flat < 0) :]
    ascending = flat[order]
    for run in np.split(np.arange(ascending.size), np.flatnonzero(np.diff(ascending) != 1) + 1):
        if run.size:
            yield order[run], ascending[run]
