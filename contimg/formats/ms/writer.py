"""Creates a Measurement Set's main table and puts the blocks of a tile into it."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.ms.columns import take_space
from contimg.formats.ms.phase_drift import Rotated
from contimg.formats.ms.subtables import mjd_s
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument.coordinates import Vectors

TILE_BYTES = 1 << 20
_ALL_ZERO = ("FEED1", "FEED2", "DATA_DESC_ID", "FIELD_ID", "ARRAY_ID", "OBSERVATION_ID", "PROCESSOR_ID", "STATE_ID")


class MainTable:
    """The main table of a new Measurement Set of one tile; a context manager.

    Rows are time-major, sorted by baseline within an integration. FLAG_ORIGINAL keeps the conversion's flags, so
    that a later flagging begins from them and not from its own earlier result.
    """

    def __init__(
        self, path: Path, tile: SubbandGroup, weight_spectrum: bool, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._tile, self._on_failure = tile, on_failure
        self._correlations = len(tile.reference.polarizations)
        self._table = _create(path, tile, self._correlations, weight_spectrum)
        cubes = list(_cubes(weight_spectrum))
        try:
            for name in cubes:
                take_space(self._table, name)
        except OSError:
            self._table.removecols(cubes)  # closing would look for their space once more, and end the process
            on_failure()
            self._table.close()
            raise

    def __enter__(self) -> "MainTable":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        try:
            if kind is None:
                self._table.flush()  # what fails here raises; what fails in close ends the process
            else:
                self._on_failure()
        except RuntimeError:
            self._on_failure()
            raise
        finally:
            self._table.close()

    def put_rows(self, first: int, last: int, uvw_m: Vectors) -> None:
        """Write what the rows of integrations [first, last) say of themselves; uvw has the shape (rows, 3)."""
        tile, length = self._tile, self._tile.reference.integration_s
        baselines, times = tile.slots_1.size, last - first
        rows = times * baselines
        stamps = np.repeat(mjd_s(tile.times_jd[first:last]), baselines)
        zeros = np.zeros(rows, dtype=np.int32)
        columns = {
            "TIME": stamps, "TIME_CENTROID": stamps, "INTERVAL": np.full(rows, length),
            "EXPOSURE": np.full(rows, length), "ANTENNA1": np.tile(tile.slots_1, times).astype(np.int32),
            "ANTENNA2": np.tile(tile.slots_2, times).astype(np.int32), "SCAN_NUMBER": zeros + 1, "UVW": uvw_m,
            "FLAG_ROW": zeros.astype(bool),
        }  # fmt: skip
        for name in _ALL_ZERO:
            columns[name] = zeros
        for name, values in columns.items():
            self._table.putcol(name, values, first * baselines, rows)

    def put_block(self, rows: slice, channels: slice, block: Rotated) -> None:
        """Write neighbouring rows of one subband's channels, each array of shape (rows, channels, correlations)."""
        first, last = [channels.start, 0], [channels.stop - 1, self._correlations - 1]
        columns = {"DATA": block.data, "FLAG": block.flags, "FLAG_ORIGINAL": block.flags}
        if block.weights.size:
            columns["WEIGHT_SPECTRUM"] = block.weights
        for name, values in columns.items():
            self._table.putcolslice(name, values, first, last, [], rows.start, rows.stop - rows.start)

    def put_weights(self, start: int, weight: NDArray[np.float32]) -> None:
        """Write WEIGHT, shape (rows, correlations), and SIGMA = 1/√WEIGHT; a row without a sample gets weight 0."""
        with np.errstate(divide="ignore"):
            sigma = np.where(weight > 0, 1.0 / np.sqrt(weight), 0.0).astype(np.float32)
        self._table.putcol("WEIGHT", weight, start, len(weight))
        self._table.putcol("SIGMA", sigma, start, len(weight))


def _cubes(weight_spectrum: bool) -> dict[str, str]:
    """The columns of many channels, and their types."""
    cubes = {"DATA": "complex", "FLAG": "boolean", "FLAG_ORIGINAL": "boolean"}
    return cubes | {"WEIGHT_SPECTRUM": "float"} if weight_spectrum else cubes


def _create(path: Path, tile: SubbandGroup, correlations: int, weight_spectrum: bool) -> table:
    """The empty main table with its default subtables and all its rows."""
    cubes = _cubes(weight_spectrum)
    value_type = {**cubes, "WEIGHT": "float", "SIGMA": "float"}
    descriptions, managers = [], []
    for name, kind in value_type.items():
        cube = name in cubes
        shape = [tile.freqs_hz.size, correlations] if cube else [correlations]
        descriptions.append(makearrcoldesc(name, None, valuetype=kind, ndim=len(shape), shape=shape, options=5))
        brick = [correlations, tile.channels] if cube else [correlations]
        managers.append(_tiled(name, [*brick, _tile_rows(tile)]))
    descriptions.append(
        makearrcoldesc("UVW", None, valuetype="double", ndim=1, shape=[3], options=5,
                       keywords={"QuantumUnits": ["m", "m", "m"], "MEASINFO": {"type": "uvw", "Ref": "ITRF"}})
    )  # fmt: skip
    managers.append(_tiled("UVW", [3, 4096]))
    main = default_ms(str(path), maketabdesc(descriptions), {f"*{i + 1}": one for i, one in enumerate(managers)})
    main.addrows(tile.rows)
    return main


def _tile_rows(tile: SubbandGroup) -> int:
    """Rows of a tile of about TILE_BYTES: if they can, a part of an integration, so that blocks are whole tiles."""
    most = max(1, TILE_BYTES // (8 * tile.channels * len(tile.reference.polarizations)))
    baselines = tile.slots_1.size
    parts = next((rows for rows in range(min(most, baselines), most // 2, -1) if baselines % rows == 0), None)
    return parts or most


def _tiled(column: str, shape: list[int]) -> dict[str, object]:
    return {
        "TYPE": "TiledColumnStMan", "NAME": f"Tiled{column}", "COLUMNS": [column],
        "SPEC": {"DEFAULTTILESHAPE": np.array(shape, dtype=np.int32)},
    }  # fmt: skip
