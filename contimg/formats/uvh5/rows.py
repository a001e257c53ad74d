"""Which baseline and which integration each row of a file belongs to, in whatever order the rows are."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.instrument.dsa110 import INTEGRATION_S
from contimg.instrument.time import DAY_S

# Julian dates of observations are between 2000-01-01 for this telescope, 1945-01-01 for any, and 2100-01-01.
FIRST_CREDIBLE_JD = {True: 2451544.5, False: 2431456.5}
LAST_CREDIBLE_JD = 2488069.5
SAME_TIME_S = 1e-3  # time stamps nearer than this are one integration
SAME_LENGTH = 0.01  # relative difference of lengths that are the same


@dataclass(frozen=True)
class RowLayout:
    """The rows of a file.

    Attributes
    ----------
    times_jd : integration centres, shape (times,), ascending.
    integrations_s : length of each integration, shape (times,).
    antenna_1, antenna_2 : antenna numbers of each baseline, in order of first appearance, shape (baselines,).
    count : number of rows.
    cells : of each row, integration × baselines + baseline, shape (rows,); None when that is simply 0, 1, 2, …
    notes : corrections of what the header has.
    """

    times_jd: NDArray[np.float64]
    integrations_s: NDArray[np.float64]
    antenna_1: NDArray[np.int64]
    antenna_2: NDArray[np.int64]
    count: int
    cells: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()

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


def read_row_layout(path: Path, header: Any, count: int, own_telescope: bool) -> RowLayout:
    """Read the baseline and integration of each row.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.
    count : number of rows that the data have.
    own_telescope : require times since 2000, and integrations as long as the time between them.

    Raises
    ------
    BadFile : an antenna is not in the antenna table, a row occurs twice, a time is not a Julian date, or the
        integration time depends on the baseline.
    """
    antenna_1, antenna_2, stamps = (header[name][:] for name in ("ant_1_array", "ant_2_array", "time_array"))
    if not antenna_1.size == antenna_2.size == stamps.size == count:
        raise BadFile(path, f"ant_1_array, ant_2_array and time_array do not all have Nblts = {count} entries")
    unknown = np.setdiff1d(np.union1d(antenna_1, antenna_2), header["antenna_numbers"][:])
    if unknown.size:
        raise BadFile(path, f"its rows refer to antenna {unknown[0]}, which is not in antenna_numbers")
    first_jd = FIRST_CREDIBLE_JD[own_telescope]
    if not (np.isfinite(stamps).all() and first_jd <= stamps.min() <= stamps.max() <= LAST_CREDIBLE_JD):
        raise BadFile(
            path,
            f"time_array is {stamps.min():.3f} to {stamps.max():.3f}, no Julian dates of an observation "
            f"({first_jd} to {LAST_CREDIBLE_JD})",
        )
    layout = _time_major(antenna_1, antenna_2, stamps)
    layout = layout or _any_order(path, antenna_1.astype(np.int64), antenna_2.astype(np.int64), stamps)
    integrations_s = _read_integrations_s(path, header, layout)
    return _follow_spacing(replace(layout, integrations_s=integrations_s), own_telescope)


def _read_integrations_s(path: Path, header: Any, layout: RowLayout) -> NDArray[np.float64]:
    """Length of each integration; BadFile when it depends on the baseline, or is not positive."""
    lengths_s = np.asarray(header["integration_time"][()], dtype=np.float64)
    if lengths_s.shape not in ((layout.count,), (1,), ()):
        raise BadFile(
            path, f"integration_time has the shape {lengths_s.shape}, expected Nblts = {layout.count} entries"
        )
    if not 0 < lengths_s.min() <= lengths_s.max() < np.inf:
        raise BadFile(path, f"integration_time = {lengths_s.min()} s is not positive and finite")
    rows_s = np.broadcast_to(lengths_s, layout.count)
    times, baselines = layout.times_jd.size, layout.antenna_1.size
    if layout.cells is None:
        shortest, longest = (extreme(rows_s.reshape(times, baselines), axis=1) for extreme in (np.min, np.max))
    else:
        shortest, longest = np.full(times, np.inf), np.zeros(times)
        np.minimum.at(shortest, layout.cells // baselines, rows_s)
        np.maximum.at(longest, layout.cells // baselines, rows_s)
    worst = int(np.argmax(longest - shortest))
    if longest[worst] - shortest[worst] > SAME_LENGTH * longest[worst]:
        raise BadFile(
            path,
            f"the baselines of integration {worst} are {shortest[worst]:g} to {longest[worst]:g} s long: "
            "baseline-dependent averaging is not supported; convert the data from before the averaging",
        )
    return np.asarray(longest)


def _follow_spacing(layout: RowLayout, own_telescope: bool) -> RowLayout:
    """Replace a length that contradicts the time between integrations, in the DSA-110's files or if they overlap.

    Its files from before June 2022 have the length of the correlator's dump, 0.134 s, of which 96 are summed. Where
    the length is the correlator's own, a longer time between integrations means that some are missing.
    """
    spacings_s = np.diff(layout.times_jd) * DAY_S
    if not spacings_s.size:
        return layout
    length_s, spacing_s = float(np.median(layout.integrations_s)), float(np.median(spacings_s))
    agrees = np.abs(spacings_s - length_s) <= SAME_LENGTH * length_s
    is_own_length = own_telescope and abs(length_s - INTEGRATION_S) <= SAME_LENGTH * INTEGRATION_S
    is_one_gap = spacings_s.size == 1 and abs(spacing_s - 2 * length_s) <= 2 * SAME_LENGTH * length_s
    has_gaps = is_one_gap or (is_own_length and spacing_s > length_s)
    overlaps = length_s > (1 + SAME_LENGTH) * spacing_s
    if agrees.any() or has_gaps or not (own_telescope or overlaps):
        return layout
    note = (
        f"integration_time is {length_s:.6g} s, the time between integrations {spacing_s:.6g} s; the latter is used as "
        "the length of an integration"
    )
    return replace(layout, integrations_s=np.full(layout.times_jd.size, spacing_s), notes=(note,))


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
    return RowLayout(times, np.empty(0), first, second, int(stamps.size), None)


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
    if (turned := antenna_1 != antenna_1[first_rows][baseline]).any():
        row = int(np.argmax(turned))
        raise BadFile(
            path,
            f"antennas {antenna_1[row]} and {antenna_2[row]} of row {row} have the other order in earlier rows; "
            "write the antennas of a baseline in one order",
        )
    order = np.sort(first_rows)
    return RowLayout(values[starts], np.empty(0), antenna_1[order], antenna_2[order], int(stamps.size), cells)


def _pairs(antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for each unordered pair of antennas."""
    low, high = np.minimum(antenna_1, antenna_2), np.maximum(antenna_1, antenna_2)
    return np.asarray(low * (int(high.max()) + 1) + high)
