"""The geometry of a tile: its phase centre, the uvw of its rows, and the position of each file's rows among them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import split_runs
from contimg.formats.uvh5.group import SubbandGroup, antenna_slots, nearest_index
from contimg.formats.uvh5.header import SubbandHeader
from contimg.instrument.coordinates import Site, Vectors, meridian_direction, meridian_icrs, uvw_axes


@dataclass(frozen=True)
class TileGeometry:
    """Phase centre, pointing and baselines of a tile; formulas in docs/maths.md.

    Attributes
    ----------
    phase_centre : right ascension and declination (ICRS), radians, shape (2,): a phased file's own; else the meridian
        at mid-tile at the dishes' declination.
    pointing : direction of the dishes at each integration (ICRS), radians, shape (times, 2).
    tracking : whether the dishes follow the sky.
    baselines_m : position of antenna 1 minus position of antenna 2, ITRF, shape (baselines, 3).
    axes : u, v and w unit vectors in ITRF at each integration, shape (times, 3, 3), axes first.
    w_old_m : w to which the file's data are phased, in the Measurement Set's sense, shape (baselines,); None when it
        is the phase centre's own.
    """

    phase_centre: Vectors
    pointing: Vectors
    tracking: bool
    baselines_m: Vectors
    axes: Vectors
    w_old_m: Vectors | None

    @classmethod
    def of(cls, group: SubbandGroup) -> "TileGeometry":
        """Compute the geometry of a group.

        Parameters
        ----------
        group : the tile's files; phasing and antenna positions are those of its reference file.
        """
        phasing, array = group.reference.phasing, group.reference.array
        site = Site.from_itrf(array.centre_m)
        baselines = array.positions_m[group.slots_1] - array.positions_m[group.slots_2]
        declination = site.latitude_rad if phasing.declination_rad is None else phasing.declination_rad
        w_old: Vectors | None = None
        if phasing.centre_rad:
            centre = np.array(phasing.centre_rad)
        else:
            mid_jd = np.array([0.5 * (group.times_jd[0] + group.times_jd[-1])])
            centre = meridian_icrs(site, mid_jd, declination)[0]
            stopped = phasing.declination_rad is not None
            w_old = baselines @ meridian_direction(site, declination) if stopped else np.zeros(len(baselines))
        tracking = phasing.declination_rad is None and phasing.centre_rad is not None
        if tracking:
            pointing = np.tile(centre, (group.times_jd.size, 1))
        else:
            pointing = meridian_icrs(site, group.times_jd, declination)
        axes = uvw_axes(site, group.times_jd, centre[0], centre[1])
        return cls(centre, pointing, tracking, baselines, axes, w_old)

    def uvw_m(self, first: int, last: int) -> Vectors:
        """Return UVW of every baseline of integrations [first, last), shape (integrations × baselines, 3), metres.

        Parameters
        ----------
        first, last : integrations.
        """
        return np.asarray(np.einsum("tij,bj->tbi", self.axes[first:last], self.baselines_m).reshape(-1, 3))

    def w_change_m(self, integration: NDArray[np.int64], baseline: NDArray[np.int64]) -> Vectors:
        """Return new minus old w in the Measurement Set's sense.

        Parameters
        ----------
        integration, baseline : of each row, shape (rows,).

        Returns
        -------
        metres, shape (rows,).
        """
        if self.w_old_m is None:
            return np.zeros(integration.size)
        new = np.einsum("tj,tj->t", self.axes[integration, 2], self.baselines_m[baseline])
        return np.asarray(new - self.w_old_m[baseline])

    def __str__(self) -> str:
        if self.w_old_m is None:
            return "phased to the files' own phase centre"
        before = "fringe-stop to the meridian undone" if self.w_old_m.any() else "never fringe-stopped"
        return f"{before}, phased to the meridian of mid-tile"


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
    """Return ascending row numbers as slices of consecutive ones.

    Parameters
    ----------
    rows : ascending row numbers without repetition, shape (rows,); may be empty.
    """
    if not rows.size:
        return []
    return [slice(int(rows[run.start]), int(rows[run.stop - 1]) + 1) for run in split_runs(np.diff(rows) != 1)]
