"""The small Measurement Set that CASA solves on: DATA divided by the model and averaged to about a minute.

For one averaging cell the least-squares estimate of the antenna-based part G of V = G M is
sum(V M*) / sum(|M|^2), with weight sum(|M|^2). The model of the result is a point of 1 Jy at the phase centre,
which CASA assumes where MODEL_DATA is missing: so no model column is written, and the tile is only read.
Dividing by the model first stops the calibrator's fringes, so that averaging in time loses nothing.
"""

from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, maketabdesc, required_ms_desc, table

from contimg.formats.arrays import Rows
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.revision import writable
from contimg.formats.tables import open_table
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate

_SAMPLE_BYTES = 9  # DATA and FLAG
_COPIED = ("FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER", "OBSERVATION_ID", "ARRAY_ID", "PROCESSOR_ID", "STATE_ID")
_MIN_WEIGHT = np.float32(1e-12)
_REFERENCE = "Table: "  # before the path in a keyword that holds a subtable


def write_solving_set(ms: MSInfo, model: SkyModel, interval_s: float, target: Path) -> None:
    """Write the solving set of a tile: its parallel hands; rows are cross-correlations, one a baseline and interval.

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set.
    model : the sources in it.
    interval_s : averaging time, seconds.
    target : path of the solving set.

    Raises
    ------
    Transient : the disk is full.
    """
    intervals = split_intervals(ms, interval_s)
    baselines = ms.antennas.size * (ms.antennas.size - 1) // 2
    samples = baselines * len(intervals) * len(ms.freqs_hz) * ms.parallel_hands.size
    with open_table(ms.path) as main:
        constants = {name: main.getcell(name, 0) for name in _COPIED}
        times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
        with writable(target, samples * _SAMPLE_BYTES, lambda: _create(ms, main, target)) as solving_set:
            for interval in intervals:
                rows = np.flatnonzero(ms.usable_rows & (times >= interval[0]) & (times <= interval[-1]))
                _append(solving_set, _average(main, rows, times[rows], ms, model, interval), constants)


def split_intervals(ms: MSInfo, interval_s: float) -> list[Rows]:
    """Split the integrations into equal runs of about `interval_s`, as indices into the times of `ms`.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    interval_s : wanted length of a run, seconds; no run is shorter than an integration.

    Returns
    -------
    The indices of each run, in order of time; lengths of runs differ by one integration at most.
    """
    count = len(ms.times_mjd_s)
    pieces = min(max(1, round(count * ms.integration_s / interval_s)), count)
    return [np.asarray(run, dtype=np.int64) for run in np.array_split(np.arange(count), pieces)]


def _average(
    main: table, rows: Rows, times: Rows, ms: MSInfo, model: SkyModel, interval: Rows
) -> dict[str, Any]:  # fmt: skip
    """Average all baselines over one interval; gives columns of one row per baseline."""
    block = main.selectrows(rows)
    data, flags, weight = (ms.select_parallel_hands(block.getcol(name)) for name in ("DATA", "FLAG", "WEIGHT"))
    ant1, ant2, uvw = (block.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "UVW"))
    flags |= block.getcol("FLAG_ROW")[:, None, None]
    is_cross = ant1 != ant2
    pairs, index = np.unique(np.stack([ant1, ant2], axis=1)[is_cross], axis=0, return_inverse=True)
    cell_of_cross = index.reshape(-1)
    cells = np.full(ant1.size, -1, dtype=np.int64)
    cells[is_cross] = cell_of_cross
    shape = (len(pairs), *data.shape[1:])
    products, power = np.zeros(shape, dtype=np.complex64), np.zeros(shape, dtype=np.float32)
    weight = weight.astype(np.float32)
    accumulate(data, flags, weight, uvw, times, cells, ms.freqs_hz, model.lmn, model.apparent_jy, products, power)
    summed = np.stack([np.bincount(cell_of_cross, uvw[is_cross, k], len(pairs)) for k in range(3)], axis=1)
    empty = power <= 0
    np.divide(products, power, out=products, where=~empty)
    good = np.maximum(np.count_nonzero(~empty, axis=1), 1)
    weights = np.maximum((power.sum(axis=1) / good).astype(np.float32), _MIN_WEIGHT)
    time_mjd_s, interval_s = float(ms.times_mjd_s[interval].mean()), interval.size * ms.integration_s
    return {
        "TIME": time_mjd_s, "TIME_CENTROID": time_mjd_s, "INTERVAL": interval_s, "EXPOSURE": interval_s,
        "ANTENNA1": pairs[:, 0].astype(np.int32), "ANTENNA2": pairs[:, 1].astype(np.int32),
        "UVW": summed / np.bincount(cell_of_cross, minlength=len(pairs))[:, None],
        "DATA": products, "FLAG": empty, "FLAG_ROW": empty.all(axis=(1, 2)),
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
