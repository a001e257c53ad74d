"""The uvw_array of a file compared with its antenna positions.

The correlator fringe-stops with the positions that give its uvw_array, the converter undoes that with the positions of
the antenna table, so the two have to agree. Lengths of baselines do not depend on the frame of u, v and w. The w
component is compared for data that are phased to a known direction, in either sense of a baseline; u and v are not,
because their north is that of date in some files and that of J2000 in others.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.formats.uvh5.antennas import Antennas
from contimg.formats.uvh5.phasing import Phasing
from contimg.formats.uvh5.rows import RowLayout
from contimg.instrument.coordinates import Site, Vectors, itrf_directions, meridian_direction

LIMIT_M = 0.5
# Of a baseline's length, for w of data phased to the sky: some writers leave out aberration, 20 arcsec.
ABERRATION_RAD = 1e-4


def check_uvw(
    path: Path, header: Any, layout: RowLayout, array: Antennas, phasing: Phasing, own_telescope: bool
) -> None:  # fmt: skip
    """Check that uvw_array is that of the antenna positions, in the first and last integration.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`; one without uvw_array passes.
    layout, array, phasing : what was read from it.
    own_telescope : compare w of data that are fringe-stopped to the meridian, too.

    Raises
    ------
    BadFile : they differ; it names the antennas.
    """
    if "uvw_array" not in header:
        return
    if header["uvw_array"].shape != (layout.count, 3):
        raise BadFile(path, f"uvw_array has the shape {header['uvw_array'].shape}, expected ({layout.count}, 3)")
    cells, uvw_m = _read_ends(header, layout)
    integration, baseline = np.divmod(cells, layout.antenna_1.size)
    written = np.isfinite(uvw_m).all(axis=1)
    if not uvw_m[written].any():
        return  # nothing was written
    if not written.all():
        raise BadFile(path, f"uvw_array has values that are not finite in {np.count_nonzero(~written)} rows")
    first, second = (array.slots_of(antennas)[baseline] for antennas in (layout.antenna_1, layout.antenna_2))
    baselines_m = array.positions_m[second] - array.positions_m[first]
    length_m = np.linalg.norm(baselines_m, axis=1)
    excess_m = np.abs(np.linalg.norm(uvw_m, axis=1) - length_m)
    if (excess_m > LIMIT_M).any():
        listed = _name_antennas(first, second, excess_m > LIMIT_M, array.names)
        raise BadFile(
            path,
            f"uvw_array and antenna_positions differ by up to {excess_m.max():.1f} m in the length of baselines (limit "
            f"{LIMIT_M} m), those of {listed}: positions that are wrong or exchanged; correct antenna_positions",
        )
    if phasing.centre_rad is None and not (own_telescope and phasing.declination_rad is not None):
        return
    directions = _directions(layout, array, phasing)
    w_m = np.einsum("ij,ij->i", baselines_m, directions[integration])
    limit_m = LIMIT_M + ABERRATION_RAD * length_m * (phasing.centre_rad is not None)
    # Antenna 2 - antenna 1, or the reverse in all rows.
    excess_m = min((np.abs(uvw_m[:, 2] - w_m), np.abs(uvw_m[:, 2] + w_m)), key=np.median)
    if (excess_m > limit_m).any():
        raise BadFile(
            path,
            f"the w of its uvw_array differ by up to {excess_m.max():.1f} m from those of its antenna positions and "
            f"phase centre (limit {LIMIT_M} m) in {np.count_nonzero(excess_m > limit_m)} of {excess_m.size} rows: its "
            "declination, times or the frame of its antenna_positions are wrong",
        )


def _read_ends(header: Any, layout: RowLayout) -> tuple[NDArray[np.int64], Vectors]:
    """Cells and uvw of the rows of the first and last integration."""
    uvw, baselines = header["uvw_array"], layout.antenna_1.size
    if layout.cells is None:
        starts = sorted({0, layout.count - baselines})
        cells = np.concatenate([np.arange(start, start + baselines) for start in starts])
        return cells, np.concatenate([uvw[start : start + baselines] for start in starts]).astype(np.float64)
    integration = layout.cells // baselines
    rows = np.flatnonzero((integration == 0) | (integration == layout.times_jd.size - 1))
    return layout.cells[rows], uvw[:].astype(np.float64)[rows]


def _directions(layout: RowLayout, array: Antennas, phasing: Phasing) -> Vectors:
    """ITRF unit vector of w at each integration, shape (times, 3)."""
    site = Site.from_itrf(array.centre_m)
    if phasing.centre_rad:
        return itrf_directions(site, layout.times_jd, *phasing.centre_rad)
    return np.tile(meridian_direction(site, phasing.declination_rad or 0.0), (layout.times_jd.size, 1))


def _name_antennas(
    first: NDArray[np.int64], second: NDArray[np.int64], wrong: NDArray[np.bool_], names: tuple[str, ...]
) -> str:
    """The fewest antennas that have all the wrong baselines, by taking the one with the most until none is left."""
    wrong_slots: list[int] = []
    while wrong.any():
        counts = np.bincount(np.concatenate([first[wrong], second[wrong]]))
        wrong_slots.append(int(np.argmax(counts)))
        wrong = wrong & (first != wrong_slots[-1]) & (second != wrong_slots[-1])
    if len(wrong_slots) > max(2, np.unique(np.concatenate([first, second])).size // 2):
        return "most antennas"
    return f"antenna{'s' * (len(wrong_slots) > 1)} {', '.join(names[slot] for slot in sorted(wrong_slots))}"
