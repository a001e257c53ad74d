"""Where each row of a file goes in the Measurement Set, and in which portions the file is read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import split_runs
from contimg.formats.uvh5 import SubbandHeader
from contimg.formats.uvh5.group import SubbandGroup, nearest, slots_of


@dataclass(frozen=True)
class Placement:
    """One file's rows in the tile's grid of integrations and baselines.

    Attributes
    ----------
    header : the file's.
    integration : the tile's integration of each of the file's, shape (file's times,).
    baseline : the tile's baseline of each of the file's, shape (file's baselines,).
    swapped : whether the baseline's antennas change places, shape (file's baselines,).
    grid : the tile's number of integrations and of baselines.
    """

    header: SubbandHeader
    integration: NDArray[np.int64]
    baseline: NDArray[np.int64]
    swapped: NDArray[np.bool_]
    grid: tuple[int, int]

    @classmethod
    def of(cls, header: SubbandHeader, tile: SubbandGroup) -> "Placement":
        """Place a file that the tile was read with."""
        first, second = slots_of(header)
        slots = header.array.numbers.size
        codes = np.minimum(first, second) * slots + np.maximum(first, second)
        baseline = np.searchsorted(tile.slots_1 * slots + tile.slots_2, codes)
        integration = nearest(header.times_jd, tile.times_jd)
        return cls(header, integration, baseline, first > second, (tile.times_jd.size, tile.slots_1.size))

    def cells(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Integration, baseline and swap of the file's rows [start, stop), each of shape (rows,)."""
        times, baselines = np.divmod(self.header.layout.cells_of(start, stop), self.header.baselines)
        return self.integration[times], self.baseline[baselines], self.swapped[baselines]

    def portions(self, size_bytes: int) -> Iterator[tuple[int, int]]:
        """First row and end of each portion of about so many bytes; whole integrations where the file has them."""
        rows, unit = self.header.rows, self.header.baselines
        row_bytes = 8 * self.header.freqs_hz.size * len(self.header.polarizations)
        if self.header.layout.cells is not None:
            unit = 1
        step = max(1, size_bytes // (row_bytes * unit)) * unit
        yield from ((start, min(start + step, rows)) for start in range(0, rows, step))

    def absent(self) -> list[slice]:
        """Runs of the tile's rows that the file does not have."""
        integrations, baselines = self.grid
        if self.header.rows == integrations * baselines:
            return []
        there = np.zeros(integrations * baselines, dtype=np.bool_)
        integration, baseline, _ = self.cells(0, self.header.rows)
        there[integration * baselines + baseline] = True
        return runs(np.flatnonzero(~there))


def runs(rows: NDArray[np.int64]) -> list[slice]:
    """Return ascending row numbers as slices of consecutive ones."""
    if not rows.size:
        return []
    return [slice(int(rows[run.start]), int(rows[run.stop - 1]) + 1) for run in split_runs(np.diff(rows) != 1)]
