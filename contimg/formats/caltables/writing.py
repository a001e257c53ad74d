"""Write solutions as CASA caltables of type B and G (CASA memo on calibration tables, MeasComponents' NewCalTable)."""

from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.revision import writable
from contimg.formats.tables import open_table

SUBTABLES = ("OBSERVATION", "ANTENNA", "FIELD", "SPECTRAL_WINDOW", "HISTORY")
_CELL_BYTES = 17  # CPARAM, PARAMERR, FLAG, SNR of one solution
_ROW_BYTES = 64
_SECONDS = {"QuantumUnits": ["s"]}
_EPOCH = {**_SECONDS, "MEASINFO": {"type": "epoch", "Ref": "UTC"}}
Floats = NDArray[np.float64]


def write_caltable(
    path: Path, ms: MSInfo, times_mjd_s: Floats, gains: NDArray[np.complexfloating], snr: Floats, reference: int
) -> None:
    """Write gains of antennas as a caltable: type B with one solution for each channel, type G with one for all.

    Parameters
    ----------
    path : of the caltable; it must not exist.
    ms : metadata of the Measurement Set that they were solved on: its subtables are copied.
    times_mjd_s : of the solutions, UTC, shape (times,).
    gains : shape (times, slots, channels of `ms` or 1, parallel hands); flagged where not finite.
    snr : |g| over its error, the same shape.
    reference : slot of the reference antenna.

    Raises
    ------
    Transient : the disk is full.
    """
    times, slots, channels, _ = gains.shape
    receptors = ms.receptors[ms.parallel_hands, 0]
    shape = (times * slots, channels, int(ms.receptors.max()) + 1)
    values, errors = np.ones(shape, dtype=np.complex64), np.zeros(shape, dtype=np.float32)
    flags, ratios = np.ones(shape, dtype=bool), np.zeros(shape, dtype=np.float32)
    flat, flat_snr = gains.reshape(times * slots, channels, -1), snr.reshape(times * slots, channels, -1)
    is_solved = np.isfinite(flat) & (flat_snr > 0)
    values[:, :, receptors] = np.where(is_solved, flat, 1)
    flags[:, :, receptors] = ~is_solved
    ratios[:, :, receptors] = np.where(is_solved, flat_snr, 0)
    np.divide(np.abs(values), ratios, out=errors, where=ratios > 0)
    with open_table(ms.path) as main:
        numbers = {name: int(main.getcell(name, 0)) for name in ("FIELD_ID", "SCAN_NUMBER", "OBSERVATION_ID")}
        description = int(main.getcell("DATA_DESC_ID", 0))
    with open_table(ms.path / "DATA_DESCRIPTION") as descriptions:
        numbers["SPECTRAL_WINDOW_ID"] = int(descriptions.getcell("SPECTRAL_WINDOW_ID", description))
    columns: dict[str, NDArray[Any]] = {
        "TIME": np.repeat(times_mjd_s, slots), "ANTENNA1": np.tile(np.arange(slots, dtype=np.int32), times),
        "INTERVAL": np.zeros(times * slots), "ANTENNA2": np.full(times * slots, reference, dtype=np.int32),
        **{name: np.full(times * slots, number, dtype=np.int32) for name, number in numbers.items()},
        "CPARAM": values, "PARAMERR": errors, "FLAG": flags, "SNR": ratios,
    }  # fmt: skip
    size_bytes = values.size * _CELL_BYTES + len(values) * _ROW_BYTES
    with writable(path, size_bytes, lambda: _create(path, ms, "G Jones" if channels == 1 else "B Jones")) as main:
        main.addrows(len(values))
        for name, column in columns.items():
            main.putcol(name, column)
    if channels == 1:
        _merge_channels(path, ms, numbers["SPECTRAL_WINDOW_ID"])


def _create(path: Path, ms: MSInfo, kind: str) -> table:
    """Create an empty caltable with the subtables of the Measurement Set."""
    scalars = {
        "TIME": (0.0, _EPOCH), "FIELD_ID": (0, {}), "SPECTRAL_WINDOW_ID": (0, {}), "ANTENNA1": (0, {}),
        "ANTENNA2": (0, {}), "INTERVAL": (0.0, _SECONDS), "SCAN_NUMBER": (0, {}), "OBSERVATION_ID": (0, {}),
    }  # fmt: skip
    arrays = {"CPARAM": "complex", "PARAMERR": "float", "FLAG": "boolean", "SNR": "float", "WEIGHT": "float"}
    descriptions = [makescacoldesc(name, zero, keywords=words) for name, (zero, words) in scalars.items()]
    descriptions += [makearrcoldesc(name, None, valuetype=kind, ndim=-1) for name, kind in arrays.items()]
    created = table(str(path), maketabdesc(descriptions), ack=False)
    created.putinfo({"type": "Calibration", "subType": kind, "readme": ""})
    words = {"ParType": "Complex", "MSName": f"{ms.name}.ms", "VisCal": kind, "PolBasis": "unknown"}
    for name, word in words.items():
        created.putkeyword(name, word)
    for name in SUBTABLES:
        if (ms.path / name).exists():
            with open_table(ms.path / name) as subtable:
                subtable.copy(str(path / name), deep=True, valuecopy=True, copynorows=name == "HISTORY").close()
            created.putkeyword(name, f"Table: {path / name}")
    return created


def _merge_channels(path: Path, ms: MSInfo, window: int) -> None:
    """Replace a window's channels by one over the band: the window of gains, as CASA has it."""
    with writable(path / "SPECTRAL_WINDOW") as windows:
        width_hz = np.array([ms.channel_width_hz * len(ms.freqs_hz)])
        windows.putcell("NUM_CHAN", window, 1)
        windows.putcell("CHAN_FREQ", window, ms.freqs_hz.mean(keepdims=True))
        for name in ("CHAN_WIDTH", "EFFECTIVE_BW", "RESOLUTION"):
            windows.putcell(name, window, width_hz)
