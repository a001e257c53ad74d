"""Writing the main table of a new Measurement Set."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.ms.columns import allocate
from contimg.formats.ms.phase_drift import MSBlock
from contimg.formats.ms.revision import writable
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument.coordinates import Vectors
from contimg.instrument.time import jd_to_mjd_s

TILE_BYTES = 1 << 20
_ALL_ZERO = ("FEED1", "FEED2", "DATA_DESC_ID", "FIELD_ID", "ARRAY_ID", "OBSERVATION_ID", "PROCESSOR_ID", "STATE_ID")


@contextmanager
def create_main_table(
    path: Path, group: SubbandGroup, weight_spectrum: bool, need_bytes: int
) -> Iterator["MainTable"]:  # fmt: skip
    """Create the main table of a tile's Measurement Set; flush and close it at the end.

    Rows are time-major, sorted by baseline within an integration. FLAG_ORIGINAL keeps the conversion's flags, so
    that a later flagging starts from them and not from its own earlier result.

    Parameters
    ----------
    path : of the Measurement Set.
    group : its subband files.
    weight_spectrum : whether to have the column WEIGHT_SPECTRUM.
    need_bytes : size of the Measurement Set.

    Raises
    ------
    Transient : the disk is full.
    """
    cubes = _cubes(weight_spectrum)
    with writable(path, need_bytes, lambda: _create(path, group, cubes)) as main:
        try:
            for name in cubes:
                allocate(main, name)
        except OSError:
            main.removecols([*cubes])  # otherwise closing needs their space, and ends the process
            raise
        yield MainTable(main, group)


@dataclass(frozen=True)
class MainTable:
    """The open main table of a new Measurement Set, and the subband files that go into it."""

    table: table
    group: SubbandGroup

    def write_rows(self, first: int, last: int, uvw_m: Vectors) -> None:
        """Write times, antennas and uvw of integrations [first, last).

        Parameters
        ----------
        first, last : integrations.
        uvw_m : metres, shape (integrations × baselines, 3).
        """
        group = self.group
        baselines, times = group.slots_1.size, last - first
        rows = times * baselines
        stamps = np.repeat(jd_to_mjd_s(group.times_jd[first:last]), baselines)
        lengths = np.repeat(group.integrations_s[first:last], baselines)
        zeros = np.zeros(rows, dtype=np.int32)
        columns = {
            "TIME": stamps, "TIME_CENTROID": stamps, "INTERVAL": lengths,
            "EXPOSURE": lengths, "ANTENNA1": np.tile(group.slots_1, times).astype(np.int32),
            "ANTENNA2": np.tile(group.slots_2, times).astype(np.int32), "SCAN_NUMBER": zeros + 1, "UVW": uvw_m,
            "FLAG_ROW": zeros.astype(bool),
        }  # fmt: skip
        for name in _ALL_ZERO:
            columns[name] = zeros
        for name, values in columns.items():
            self.table.putcol(name, values, first * baselines, rows)

    def write_block(self, rows: slice, channels: slice, block: MSBlock) -> None:
        """Write data, flags and weights of consecutive rows in one subband's channels.

        Parameters
        ----------
        rows, channels : ranges in the table.
        block : arrays of shape (rows, channels, correlations).
        """
        first, last = [channels.start, 0], [channels.stop - 1, self.group.correlations - 1]
        columns = {"DATA": block.data, "FLAG": block.flags, "FLAG_ORIGINAL": block.flags}
        if block.weights.size:
            columns["WEIGHT_SPECTRUM"] = block.weights
        for name, values in columns.items():
            self.table.putcolslice(name, values, first, last, [], rows.start, rows.stop - rows.start)

    def write_weights(self, start: int, weight: NDArray[np.float32]) -> None:
        """Write WEIGHT and SIGMA = 1/√WEIGHT from row `start` on; SIGMA is 0 where WEIGHT is.

        Parameters
        ----------
        start : first row.
        weight : shape (rows, correlations); 0 for a row without a sample.
        """
        with np.errstate(divide="ignore"):
            sigma = np.where(weight > 0, 1.0 / np.sqrt(weight), 0.0).astype(np.float32)
        self.table.putcol("WEIGHT", weight, start, len(weight))
        self.table.putcol("SIGMA", sigma, start, len(weight))


def _cubes(weight_spectrum: bool) -> dict[str, str]:
    """The columns with a channel axis, and their types."""
    cubes = {"DATA": "complex", "FLAG": "boolean", "FLAG_ORIGINAL": "boolean"}
    return cubes | {"WEIGHT_SPECTRUM": "float"} if weight_spectrum else cubes


def _create(path: Path, group: SubbandGroup, cubes: Mapping[str, str]) -> table:
    """The empty main table with its default subtables and all its rows."""
    descriptions, managers = [], []
    for name, kind in {**cubes, "WEIGHT": "float", "SIGMA": "float"}.items():
        shape, tile = [group.correlations], [group.correlations]
        if name in cubes:
            shape, tile = [group.freqs_hz.size, *shape], [*tile, group.channels]
        descriptions.append(makearrcoldesc(name, None, valuetype=kind, ndim=len(shape), shape=shape, options=5))
        managers.append(_tiled(name, [*tile, _tile_rows(group)]))
    descriptions.append(
        makearrcoldesc("UVW", None, valuetype="double", ndim=1, shape=[3], options=5,
                       keywords={"QuantumUnits": ["m", "m", "m"], "MEASINFO": {"type": "uvw", "Ref": "ITRF"}})
    )  # fmt: skip
    managers.append(_tiled("UVW", [3, 4096]))
    main = default_ms(str(path), maketabdesc(descriptions), {f"*{i}": info for i, info in enumerate(managers, 1)})
    main.addrows(group.rows)
    return main


def _tile_rows(group: SubbandGroup) -> int:
    """Rows of a storage tile of about TILE_BYTES: if possible an integral part of an integration, as blocks are."""
    maximum = max(1, TILE_BYTES // (8 * group.channels * group.correlations))
    baselines = group.slots_1.size
    parts = (rows for rows in range(min(maximum, baselines), maximum // 2, -1) if baselines % rows == 0)
    return next(parts, maximum)


def _tiled(column: str, shape: list[int]) -> dict[str, object]:
    return {
        "TYPE": "TiledColumnStMan", "NAME": f"Tiled{column}", "COLUMNS": [column],
        "SPEC": {"DEFAULTTILESHAPE": np.array(shape, dtype=np.int32)},
    }  # fmt: skip
