"""Creates a Measurement Set's main table and puts the blocks of a tile into it."""

from pathlib import Path
from types import TracebackType

import numpy as np
from casacore.tables import default_ms, makearrcoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.measurement_set.geometry import Vectors
from contimg.measurement_set.subtables import mjd_s
from contimg.tile import Tile

TILE_BYTES = 1 << 20


class MainTable:
    """The main table of a new Measurement Set of one tile; a context manager.

    Rows are time-major, sorted by baseline within an integration. FLAG_ORIGINAL keeps the conversion's flags, so
    that a later flagging begins from them and not from its own earlier result.
    """

    def __init__(self, path: Path, tile: Tile) -> None:
        self._tile = tile
        self._correlations = len(tile.reference.polarizations)
        self._table = _create(path, tile.reference.rows, tile.freqs_hz.size, tile.channels, self._correlations)

    def __enter__(self) -> "MainTable":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._table.close()

    def put_rows(self, antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64], uvw_m: Vectors) -> None:
        """Write what a row says of itself; antennas of one integration, shape (baselines,), uvw of all, (rows, 3)."""
        header = self._tile.reference
        times, rows = header.times_jd.size, header.rows
        stamps = np.repeat(mjd_s(header.times_jd), header.baselines)
        length = np.full(rows, header.integration_s)
        zeros = np.zeros(rows, dtype=np.int32)
        columns = {
            "TIME": stamps, "TIME_CENTROID": stamps, "INTERVAL": length, "EXPOSURE": length,
            "ANTENNA1": np.tile(antenna_1, times).astype(np.int32),
            "ANTENNA2": np.tile(antenna_2, times).astype(np.int32),
            "SCAN_NUMBER": zeros + 1, "UVW": uvw_m, "FLAG_ROW": zeros.astype(bool),
        }  # fmt: skip
        for name in (
            "FEED1",
            "FEED2",
            "DATA_DESC_ID",
            "FIELD_ID",
            "ARRAY_ID",
            "OBSERVATION_ID",
            "PROCESSOR_ID",
            "STATE_ID",
        ):
            columns[name] = zeros
        for name, values in columns.items():
            self._table.putcol(name, values)

    def put_block(self, start: int, channels: slice, data: NDArray[np.complex64], flags: NDArray[np.bool_]) -> None:
        """Write rows from `start` of one subband's channels, each of shape (rows, channels, correlations)."""
        first, last = [channels.start, 0], [channels.stop - 1, self._correlations - 1]
        for name, values in (("DATA", data), ("FLAG", flags), ("FLAG_ORIGINAL", flags)):
            self._table.putcolslice(name, values, first, last, [], start, len(values))

    def put_weights(self, weight: NDArray[np.float32]) -> None:
        """Write WEIGHT, shape (rows, correlations), and SIGMA = 1/√WEIGHT; a row without a sample gets weight 0."""
        with np.errstate(divide="ignore"):
            sigma = np.where(weight > 0, 1.0 / np.sqrt(weight), 0.0).astype(np.float32)
        self._table.putcol("WEIGHT", weight)
        self._table.putcol("SIGMA", sigma)


def _create(path: Path, rows: int, channels: int, subband_channels: int, correlations: int) -> table:
    """The empty main table with its default subtables, `rows` rows long."""
    value_type = {"DATA": "complex", "FLAG": "boolean", "FLAG_ORIGINAL": "boolean", "WEIGHT": "float", "SIGMA": "float"}
    descriptions, managers = [], []
    for name, kind in value_type.items():
        cube = name in {"DATA", "FLAG", "FLAG_ORIGINAL"}
        shape = [channels, correlations] if cube else [correlations]
        descriptions.append(makearrcoldesc(name, None, valuetype=kind, ndim=len(shape), shape=shape, options=5))
        bytes_per_row = 8 * subband_channels * correlations
        tile = [correlations, subband_channels] if cube else [correlations]
        managers.append(_tiled(name, [*tile, max(1, TILE_BYTES // bytes_per_row)]))
    descriptions.append(
        makearrcoldesc("UVW", None, valuetype="double", ndim=1, shape=[3], options=5,
                       keywords={"QuantumUnits": ["m", "m", "m"], "MEASINFO": {"type": "uvw", "Ref": "ITRF"}})
    )  # fmt: skip
    managers.append(_tiled("UVW", [3, 4096]))
    main = default_ms(str(path), maketabdesc(descriptions), {f"*{i + 1}": one for i, one in enumerate(managers)})
    main.addrows(rows)
    return main


def _tiled(column: str, shape: list[int]) -> dict[str, object]:
    return {
        "TYPE": "TiledColumnStMan", "NAME": f"Tiled{column}", "COLUMNS": [column],
        "SPEC": {"DEFAULTTILESHAPE": np.array(shape, dtype=np.int32)},
    }  # fmt: skip
