"""Which baseline and which integration each row of a file belongs to, in whatever order the rows are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.instrument.time import DAY_S

FIRST_CREDIBLE_JD = 2451544.5  # 2000-01-01; an earlier value is not a Julian date of this telescope
SAME_TIME_S = 1e-3  # time stamps nearer than this are one integration
SAME_LENGTH = 0.01  # relative; integration times that differ more are averaged by baseline


@dataclass(frozen=True)
class RowLayout:
    """The rows of a file.

    Attributes
    ----------
    times_jd : integration centres, shape (times,), ascending.
    antenna_1, antenna_2 : antenna numbers of each baseline, in order of first appearance, shape (baselines,).
    count : number of rows.
    cells : of each row, integration × baselines + baseline, shape (rows,); None when that is simply 0, 1, 2, …
    """

    times_jd: NDArray[np.float64]
    antenna_1: NDArray[np.int64]
    antenna_2: NDArray[np.int64]
    count: int
    cells: NDArray[np.int64] | None

    def cells_of(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the cells of rows [start, stop).

        Parameters
        ----------
        start, stop : rows.

        Returns
        -------
        integration × baselines + baseline, shape (stop - start,).
        """
        return np.arange(start, stop) if self.cells is None else self.cells[start:stop]


def read_row_layout(path: Path, header: Any, count: int, numbers: NDArray[np.int64]) -> RowLayout:
    """Read the baseline and integration of each row.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.
    count : number of rows that the data have.
    numbers : antenna numbers of the antenna table, shape (slots,).

    Raises
    ------
    BadFile : an antenna is not in `numbers`, a row occurs twice, or a time is not a Julian date.
    """
    antenna_1, antenna_2, stamps = (header[name][:] for name in ("ant_1_array", "ant_2_array", "time_array"))
    if not antenna_1.size == antenna_2.size == stamps.size == count:
        raise BadFile(path, f"ant_1_array, ant_2_array and time_array do not all have Nblts = {count} entries")
    unknown = np.setdiff1d(np.union1d(antenna_1, antenna_2), numbers)
    if unknown.size:
        raise BadFile(path, f"its rows refer to antenna {unknown[0]}, which is not in antenna_numbers")
    if not np.all(np.isfinite(stamps)) or stamps.min() < FIRST_CREDIBLE_JD:
        raise BadFile(path, f"time_array begins at {stamps.min():.3f}, which is no Julian date of this century")
    regular = _time_major(antenna_1, antenna_2, stamps)
    return regular or _any_order(path, antenna_1.astype(np.int64), antenna_2.astype(np.int64), stamps)


def read_integration_s(path: Path, header: Any) -> float:
    """Read the length of the integrations in seconds.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.

    Returns
    -------
    that of the first row; the others differ from it by at most 1 %.

    Raises
    ------
    BadFile : it depends on the baseline, or is not positive.
    """
    lengths = np.atleast_1d(header["integration_time"][()]).astype(np.float64)
    shortest, longest = float(lengths.min()), float(lengths.max())
    if not 0 < shortest < np.inf:
        raise BadFile(path, f"integration_time = {shortest} s is not positive and finite")
    if longest - shortest > SAME_LENGTH * longest:
        raise BadFile(
            path,
            f"its integrations are {shortest:g} to {longest:g} s long: baseline-dependent averaging is not "
            "supported; convert the data from before the averaging",
        )
    return float(lengths[0])


def _time_major(antenna_1: Any, antenna_2: Any, stamps: Any) -> RowLayout | None:
    """The correlator's order, the same baselines in the same order in every integration; None for another order."""
    baselines = int(np.flatnonzero(np.append(stamps[1:] != stamps[:-1], True))[0]) + 1
    if stamps.size % baselines:
        return None
    grid_1, grid_2, grid_t = (array.reshape(-1, baselines) for array in (antenna_1, antenna_2, stamps))
    same = (grid_1 == grid_1[0]).all() and (grid_2 == grid_2[0]).all() and (grid_t == grid_t[:, :1]).all()
    times = grid_t[:, 0].astype(np.float64)
    if not same or np.any(np.diff(times) * DAY_S <= SAME_TIME_S):
        return None
    first, second = grid_1[0].astype(np.int64), grid_2[0].astype(np.int64)
    if np.unique(_pairs(first, second)).size != baselines:
        return None
    return RowLayout(times, first, second, int(stamps.size), None)


def _any_order(path: Path, antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64], stamps: Any) -> RowLayout:
    """Rows in another order, or with some missing."""
    values, stamp_of_row = np.unique(stamps.astype(np.float64), return_inverse=True)
    starts = np.append(True, np.diff(values) * DAY_S > SAME_TIME_S)
    integration = (np.cumsum(starts) - 1)[stamp_of_row]
    _, first_rows, baseline = np.unique(_pairs(antenna_1, antenna_2), return_index=True, return_inverse=True)
    appearance = np.argsort(np.argsort(first_rows))
    cells = integration * first_rows.size + appearance[baseline]
    if np.unique(cells).size != cells.size:
        raise BadFile(path, "a baseline occurs twice in one integration")
    order = np.sort(first_rows)
    return RowLayout(values[starts], antenna_1[order], antenna_2[order], int(stamps.size), cells)


def _pairs(antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each unordered pair of antennas."""
    low, high = np.minimum(antenna_1, antenna_2), np.maximum(antenna_1, antenna_2)
    return np.asarray(low * (int(high.max()) + 1) + high)
