"""Writing the main table of a new Measurement Set."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.ms.columns import allocate
from contimg.formats.ms.phase_drift import MSBlock
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument.coordinates import Vectors
from contimg.instrument.time import jd_to_mjd_s

TILE_BYTES = 1 << 20
_ALL_ZERO = ("FEED1", "FEED2", "DATA_DESC_ID", "FIELD_ID", "ARRAY_ID", "OBSERVATION_ID", "PROCESSOR_ID", "STATE_ID")


class MainTable:
    """A context manager that creates the main table of a tile's Measurement Set, and closes it.

    Rows are time-major, sorted by baseline within an integration. FLAG_ORIGINAL keeps the conversion's flags, so
    that a later flagging starts from them and not from its own earlier result.

    Parameters
    ----------
    path : of the Measurement Set.
    group : its subband files.
    weight_spectrum : whether to have the column WEIGHT_SPECTRUM.
    on_failure : called before the table is closed after an error, to free disk space.

    Raises
    ------
    OSError : the disk is full.
    """

    def __init__(self, path: Path, group: SubbandGroup, weight_spectrum: bool, on_failure: Callable[[], None]) -> None:
        self._group, self._on_failure = group, on_failure
        self._correlations = group.correlations
        self._table = _create(path, group, self._correlations, weight_spectrum)
        cubes = list(_cubes(weight_spectrum))
        try:
            for name in cubes:
                allocate(self._table, name)
        except OSError:
            self._table.removecols(cubes)  # otherwise closing needs their space, and ends the process
            on_failure()
            self._table.close()
            raise

    def __enter__(self) -> "MainTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if kind is None:
                self._table.flush()  # raises when the disk is full; close ends the process
            else:
                self._on_failure()
        except RuntimeError:
            self._on_failure()
            raise
        finally:
            self._table.close()

    def write_rows(self, first: int, last: int, uvw_m: Vectors) -> None:
        """Write times, antennas and uvw of integrations [first, last).

        Parameters
        ----------
        first, last : integrations.
        uvw_m : metres, shape (integrations × baselines, 3).
        """
        group, length = self._group, self._group.reference.integration_s
        baselines, times = group.slots_1.size, last - first
        rows = times * baselines
        stamps = np.repeat(jd_to_mjd_s(group.times_jd[first:last]), baselines)
        zeros = np.zeros(rows, dtype=np.int32)
        columns = {
            "TIME": stamps, "TIME_CENTROID": stamps, "INTERVAL": np.full(rows, length),
            "EXPOSURE": np.full(rows, length), "ANTENNA1": np.tile(group.slots_1, times).astype(np.int32),
            "ANTENNA2": np.tile(group.slots_2, times).astype(np.int32), "SCAN_NUMBER": zeros + 1, "UVW": uvw_m,
            "FLAG_ROW": zeros.astype(bool),
        }  # fmt: skip
        for name in _ALL_ZERO:
            columns[name] = zeros
        for name, values in columns.items():
            self._table.putcol(name, values, first * baselines, rows)

    def write_block(self, rows: slice, channels: slice, block: MSBlock) -> None:
        """Write data, flags and weights of consecutive rows in one subband's channels.

        Parameters
        ----------
        rows, channels : ranges in the table.
        block : arrays of shape (rows, channels, correlations).
        """
        first, last = [channels.start, 0], [channels.stop - 1, self._correlations - 1]
        columns = {"DATA": block.data, "FLAG": block.flags, "FLAG_ORIGINAL": block.flags}
        if block.weights.size:
            columns["WEIGHT_SPECTRUM"] = block.weights
        for name, values in columns.items():
            self._table.putcolslice(name, values, first, last, [], rows.start, rows.stop - rows.start)

    def write_weights(self, start: int, weight: NDArray[np.float32]) -> None:
        """Write WEIGHT and SIGMA = 1/√WEIGHT from row `start` on; SIGMA is 0 where WEIGHT is.

        Parameters
        ----------
        start : first row.
        weight : shape (rows, correlations); 0 for a row without a sample.
        """
        with np.errstate(divide="ignore"):
            sigma = np.where(weight > 0, 1.0 / np.sqrt(weight), 0.0).astype(np.float32)
        self._table.putcol("WEIGHT", weight, start, len(weight))
        self._table.putcol("SIGMA", sigma, start, len(weight))


def _cubes(weight_spectrum: bool) -> dict[str, str]:
    """The columns with a channel axis, and their types."""
    cubes = {"DATA": "complex", "FLAG": "boolean", "FLAG_ORIGINAL": "boolean"}
    return cubes | {"WEIGHT_SPECTRUM": "float"} if weight_spectrum else cubes


def _create(path: Path, group: SubbandGroup, correlations: int, weight_spectrum: bool) -> table:
    """The empty main table with its default subtables and all its rows."""
    cubes = _cubes(weight_spectrum)
    value_type = {**cubes, "WEIGHT": "float", "SIGMA": "float"}
    descriptions, managers = [], []
    for name, kind in value_type.items():
        cube = name in cubes
        shape = [group.freqs_hz.size, correlations] if cube else [correlations]
        descriptions.append(makearrcoldesc(name, None, valuetype=kind, ndim=len(shape), shape=shape, options=5))
        tile = [correlations, group.channels] if cube else [correlations]
        managers.append(_tiled(name, [*tile, _tile_rows(group)]))
    descriptions.append(
        makearrcoldesc("UVW", None, valuetype="double", ndim=1, shape=[3], options=5,
                       keywords={"QuantumUnits": ["m", "m", "m"], "MEASINFO": {"type": "uvw", "Ref": "ITRF"}})
    )  # fmt: skip
    managers.append(_tiled("UVW", [3, 4096]))
    numbered = {f"*{i}": manager for i, manager in enumerate(managers, 1)}
    main = default_ms(str(path), maketabdesc(descriptions), numbered)
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
