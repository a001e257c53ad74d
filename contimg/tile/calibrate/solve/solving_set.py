"""The small Measurement Set that CASA solves on: DATA divided by the model and averaged to about a minute.

For one averaging cell the least-squares estimate of the antenna-based part G of V = G M is
sum(V M*) / sum(|M|^2), with weight sum(|M|^2). The model of the result is a point of 1 Jy at the phase centre,
which is what CASA takes where MODEL_DATA is missing: so no model column is written, and the tile is only read.
Dividing by the model first stops the calibrator's fringes, so that averaging in time costs nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from casacore.tables import makearrcoldesc, maketabdesc, required_ms_desc, table
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.writable import writable
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate

_BYTES = 9  # of a sample: DATA and FLAG
_COPIED = ("FIELD_ID", "DATA_DESC_ID", "SCAN_NUMBER", "OBSERVATION_ID", "ARRAY_ID", "PROCESSOR_ID", "STATE_ID")


@dataclass(frozen=True)
class _Cell:
    """All baselines averaged over one interval."""

    antenna1: NDArray[np.int32]
    antenna2: NDArray[np.int32]
    uvw_m: NDArray[np.float64]
    time_mjd_s: float
    interval_s: float
    data: NDArray[np.complex64]
    weight: NDArray[np.float32]
    flags: NDArray[np.bool_]


def write_solving_set(tile: MSInfo, model: SkyModel, interval_s: float, target: Path) -> None:
    """Write the solving set of a tile; its rows are cross-correlations, one per baseline and interval."""
    with table(str(tile.path), ack=False) as main:
        constants = {name: main.getcell(name, 0) for name in _COPIED}
        subtables = {name: value for name, value in main.getkeywords().items() if _is_table(value)}
        pairs = tile.antennas.size * (tile.antennas.size - 1) // 2
        cells = pairs * len(intervals(tile, interval_s)) * len(tile.freqs_hz) * len(tile.correlations)
        with writable(target, cells * _BYTES, lambda: _create(tile, subtables, target)) as out:
            for cell in _cells(main, tile, model, interval_s):
                _append(out, cell, constants)


def intervals(tile: MSInfo, interval_s: float) -> list[NDArray[np.int64]]:
    """The tile's integrations split into equal runs of about `interval_s`, as indices into its times."""
    span_s = len(tile.times_mjd_s) * tile.integration_s
    pieces = min(max(1, round(span_s / interval_s)), len(tile.times_mjd_s))
    return [np.asarray(run, dtype=np.int64) for run in np.array_split(np.arange(len(tile.times_mjd_s)), pieces)]


def _cells(main: table, tile: MSInfo, model: SkyModel, interval_s: float) -> Iterator[_Cell]:
    times = np.searchsorted(tile.times_mjd_s, main.getcol("TIME"))
    for run in intervals(tile, interval_s):
        rows = np.flatnonzero((times >= run[0]) & (times <= run[-1]))
        yield _average(main, rows, times[rows], tile, model, run)


def _average(
    main: table, rows: NDArray[np.int64], times: NDArray[np.int64], tile: MSInfo, model: SkyModel,
    run: NDArray[np.int64],
) -> _Cell:  # fmt: skip
    chosen = main.selectrows(rows)
    first, second = chosen.getcol("ANTENNA1"), chosen.getcol("ANTENNA2")
    cross = first != second
    pairs, where = np.unique(np.stack([first[cross], second[cross]], axis=1), axis=0, return_inverse=True)
    cell = np.full(first.size, -1, dtype=np.int64)
    cell[cross] = where.reshape(-1)
    uvw = chosen.getcol("UVW")
    data, flags = chosen.getcol("DATA"), chosen.getcol("FLAG")
    flags |= chosen.getcol("FLAG_ROW")[:, None, None]
    shape = (len(pairs), *data.shape[1:])
    products, power = np.zeros(shape, dtype=np.complex64), np.zeros(shape, dtype=np.float32)
    weight = chosen.getcol("WEIGHT").astype(np.float32)
    accumulate(data, flags, weight, uvw, times, cell, tile.freqs_hz, model.lmn, model.apparent_jy, products, power)
    summed = np.stack([np.bincount(cell[cross], uvw[cross, k], len(pairs)) for k in range(3)], axis=1)
    mean_uvw = summed / np.bincount(cell[cross], minlength=len(pairs))[:, None]
    empty = power <= 0
    np.divide(products, power, out=products, where=~empty)
    good = np.maximum(np.count_nonzero(~empty, axis=1), 1)
    return _Cell(
        pairs[:, 0].astype(np.int32), pairs[:, 1].astype(np.int32), mean_uvw,
        float(tile.times_mjd_s[run].mean()), run.size * tile.integration_s,
        products, (power.sum(axis=1) / good).astype(np.float32), empty,
    )  # fmt: skip


def _create(tile: MSInfo, subtables: dict[str, str], target: Path) -> table:
    described = required_ms_desc()
    shape = [len(tile.freqs_hz), len(tile.correlations)]
    tiling = {"DEFAULTTILESHAPE": np.array([shape[1], shape[0], 64], dtype=np.int32)}
    wide = {"DATA": "complex", "FLAG": "boolean"}
    for name, kind in wide.items():
        described.update(maketabdesc(_wide_column(name, kind, shape)))
    info = {
        f"*{index}": {"TYPE": "TiledColumnStMan", "NAME": f"Tiled{name}", "SPEC": tiling, "COLUMNS": [name]}
        for index, name in enumerate(wide, start=1)
    }
    out = table(str(target), described, dminfo=info, ack=False)
    out.putkeyword("MS_VERSION", 2.0)
    out.putinfo({"type": "Measurement Set", "subType": "", "readme": ""})
    for name, value in subtables.items():
        source = table(value.removeprefix("Table: "), ack=False)
        source.copy(str(target / name), deep=True).close()
        source.close()
        out.putkeyword(name, f"Table: {target / name}")
    return out


def _wide_column(name: str, kind: str, shape: list[int]) -> dict[str, object]:
    zero: object = 0j if kind == "complex" else False
    found: dict[str, object] = makearrcoldesc(
        name, zero, valuetype=kind, shape=shape, options=4, datamanagertype="TiledColumnStMan",
        datamanagergroup=f"Tiled{name}",
    )  # fmt: skip
    return found


def _append(out: table, cell: _Cell, constants: dict[str, int]) -> None:
    start, count = out.nrows(), len(cell.antenna1)
    out.addrows(count)

    def put(name: str, values: object) -> None:
        out.putcol(name, values, start, count)

    for name, value in constants.items():
        put(name, np.full(count, value, dtype=np.int32))
    for name in ("TIME", "TIME_CENTROID"):
        put(name, np.full(count, cell.time_mjd_s))
    for name in ("INTERVAL", "EXPOSURE"):
        put(name, np.full(count, cell.interval_s))
    put("ANTENNA1", cell.antenna1)
    put("ANTENNA2", cell.antenna2)
    put("UVW", cell.uvw_m)
    put("DATA", cell.data)
    put("FLAG", cell.flags)
    put("FLAG_ROW", cell.flags.all(axis=(1, 2)))
    weight = np.maximum(cell.weight, np.float32(1e-12))
    put("WEIGHT", weight)
    put("SIGMA", 1.0 / np.sqrt(weight))
    for name in ("FEED1", "FEED2"):
        put(name, np.zeros(count, dtype=np.int32))


def _is_table(value: object) -> bool:
    return isinstance(value, str) and value.startswith("Table: ")
