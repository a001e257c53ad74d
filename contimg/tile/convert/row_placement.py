"""The position of each row of a file in the Measurement Set, and the portions in which the file is read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import split_runs
from contimg.formats.uvh5.group import SubbandGroup, antenna_slots, nearest_index
from contimg.formats.uvh5.header import SubbandHeader


@dataclass(frozen=True)
class Placement:
    """The rows of a file in the tile's grid of integrations and baselines.

    Attributes
    ----------
    header : of the file.
    integration : the tile's integration of each of the file's, shape (file's times,).
    baseline : the tile's baseline of each of the file's, shape (file's baselines,).
    swapped : whether the antennas of the baseline are swapped, shape (file's baselines,).
    grid : the tile's number of integrations and of baselines.
    """

    header: SubbandHeader
    integration: NDArray[np.int64]
    baseline: NDArray[np.int64]
    swapped: NDArray[np.bool_]
    grid: tuple[int, int]

    @classmethod
    def of(cls, header: SubbandHeader, group: SubbandGroup) -> "Placement":
        """Place a file of the group.

        Parameters
        ----------
        header : one of the group's.
        group : of the tile.
        """
        first, second = antenna_slots(header)
        slots = header.array.numbers.size
        codes = np.minimum(first, second) * slots + np.maximum(first, second)
        baseline = np.searchsorted(group.slots_1 * slots + group.slots_2, codes)
        integration = nearest_index(header.times_jd, group.times_jd)
        return cls(header, integration, baseline, first > second, (group.times_jd.size, group.slots_1.size))

    def cells(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return integration, baseline and swap of the file's rows [start, stop), each of shape (rows,).

        Parameters
        ----------
        start, stop : rows of the file.
        """
        times, baselines = np.divmod(self.header.layout.cells_of(start, stop), self.header.baselines)
        return self.integration[times], self.baseline[baselines], self.swapped[baselines]

    def portions(self, size_bytes: int) -> Iterator[tuple[int, int]]:
        """Yield the first row and the end of portions of about `size_bytes`, in whole integrations if possible.

        Parameters
        ----------
        size_bytes : of the visibilities of a portion.
        """
        rows, header = self.header.rows, self.header
        unit = header.baselines if header.layout.cells is None else 1
        row_bytes = 8 * header.freqs_hz.size * len(header.polarizations)
        step = max(1, size_bytes // (row_bytes * unit)) * unit
        yield from ((start, min(start + step, rows)) for start in range(0, rows, step))

    def absent(self) -> list[slice]:
        """Return the runs of the tile's rows that the file does not have."""
        integrations, baselines = self.grid
        if self.header.rows == integrations * baselines:
            return []
        present = np.zeros(integrations * baselines, dtype=np.bool_)
        integration, baseline, _ = self.cells(0, self.header.rows)
        present[integration * baselines + baseline] = True
        return row_runs(np.flatnonzero(~present))


def row_runs(rows: NDArray[np.int64]) -> list[slice]:
    """Return ascending row numbers as slices of consecutive ones."""
    if not rows.size:
        return []
    return [slice(int(rows[run.start]), int(rows[run.stop - 1]) + 1) for run in split_runs(np.diff(rows) != 1)]
