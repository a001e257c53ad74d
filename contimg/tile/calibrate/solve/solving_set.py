"""The small Measurement Set that CASA solves on: the solving data without a model column.

CASA assumes a point of 1 Jy at the phase centre where MODEL_DATA is missing, which is the model of the solving data.
"""

from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, maketabdesc, required_ms_desc, table

from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.revision import writable
from contimg.formats.tables import open_table
from contimg.tile.calibrate.solve.solving_data import SolvingData

_SAMPLE_BYTES = 9  # DATA and FLAG
_COPIED = ("FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER", "OBSERVATION_ID", "ARRAY_ID", "PROCESSOR_ID", "STATE_ID")
_MIN_WEIGHT = np.float32(1e-12)
_REFERENCE = "Table: "  # before the path in a keyword that holds a subtable


def write_solving_set(ms: MSInfo, data: SolvingData, target: Path) -> None:
    """Write the Measurement Set that CASA solves on; rows are cross-correlations, one a baseline and interval.

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set.
    data : what is solved on.
    target : path of the solving set.

    Raises
    ------
    Transient : the disk is full.
    """
    with open_table(ms.path) as main:
        constants = {name: main.getcell(name, 0) for name in _COPIED}
        need_bytes = data.visibilities.size * _SAMPLE_BYTES
        with writable(target, need_bytes, lambda: _create(ms, main, target)) as solving_set:
            for interval in range(data.times_mjd_s.size):
                _append(solving_set, _make_columns(data, interval), constants)


def _make_columns(data: SolvingData, interval: int) -> dict[str, Any]:
    """Give the columns of one interval, one row a baseline; CASA has one weight for all channels."""
    power = data.weights[interval]
    is_empty = power <= 0
    good = np.maximum(np.count_nonzero(~is_empty, axis=1), 1)
    weights = np.maximum((power.sum(axis=1) / good).astype(np.float32), _MIN_WEIGHT)
    time_mjd_s, interval_s = float(data.times_mjd_s[interval]), float(data.intervals_s[interval])
    return {
        "TIME": time_mjd_s, "TIME_CENTROID": time_mjd_s, "INTERVAL": interval_s, "EXPOSURE": interval_s,
        "ANTENNA1": data.ant1, "ANTENNA2": data.ant2, "UVW": data.uvw_m[interval],
        "DATA": data.visibilities[interval], "FLAG": is_empty, "FLAG_ROW": is_empty.all(axis=(1, 2)),
        "WEIGHT": weights, "SIGMA": 1.0 / np.sqrt(weights), "FEED1": 0, "FEED2": 0,
    }  # fmt: skip


def _append(solving_set: table, columns: dict[str, Any], constants: dict[str, int]) -> None:
    """Append rows; a column that is a single number has it in each row."""
    start, count = solving_set.nrows(), len(columns["DATA"])
    solving_set.addrows(count)
    for name, values in {**constants, **columns}.items():
        if np.ndim(values) == 0:
            values = np.full(count, values, dtype=np.float64 if isinstance(values, float) else np.int32)
        solving_set.putcol(name, values, start, count)


def _create(ms: MSInfo, source: table, target: Path) -> table:
    """Create an empty Measurement Set with the subtables of `source`."""
    description = required_ms_desc()
    shape = [len(ms.freqs_hz), ms.parallel_hands.size]
    tiling = {"DEFAULTTILESHAPE": np.array([shape[1], shape[0], 64], dtype=np.int32)}
    managers = {}
    for index, (name, kind, zero) in enumerate((("DATA", "complex", 0j), ("FLAG", "boolean", False)), start=1):
        column = makearrcoldesc(
            name, zero, valuetype=kind, shape=shape, options=4, datamanagertype="TiledColumnStMan",
            datamanagergroup=f"Tiled{name}",
        )  # fmt: skip
        description.update(maketabdesc(column))
        managers[f"*{index}"] = {
            "TYPE": "TiledColumnStMan", "NAME": f"Tiled{name}", "SPEC": tiling, "COLUMNS": [name],
        }  # fmt: skip
    created = table(str(target), description, dminfo=managers, ack=False)
    created.putkeyword("MS_VERSION", 2.0)
    created.putinfo({"type": "Measurement Set", "subType": "", "readme": ""})
    for name, value in source.getkeywords().items():
        if isinstance(value, str) and value.startswith(_REFERENCE):
            with open_table(Path(value.removeprefix(_REFERENCE))) as subtable:
                subtable.copy(str(target / name), deep=True).close()
            created.putkeyword(name, f"{_REFERENCE}{target / name}")
    with open_table(target / "POLARIZATION", readonly=False) as polarizations:
        for row in np.flatnonzero(polarizations.getcol("NUM_CORR") == len(ms.correlations)):
            for name in ("CORR_TYPE", "CORR_PRODUCT"):
                polarizations.putcell(name, row, polarizations.getcell(name, row)[ms.parallel_hands])
            polarizations.putcell("NUM_CORR", row, ms.parallel_hands.size)
    return created
