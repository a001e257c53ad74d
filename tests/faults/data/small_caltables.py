"""Caltables written by casacore alone, with the columns and keywords that CASA 6 writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

MJD_S = 61093.97 * 86400.0
WIDTH_HZ = 244140.625
FREQS_HZ = 1.38e9 + WIDTH_HZ * np.arange(64)
NAMES = tuple(f"pad{number}" for number in (1, 5, 12, 18, 30, 44, 52, 60))
STRIP = ("3C48", 24.42, 33.16)
_SCALARS = {"TIME": 0.0, "FIELD_ID": 0, "SPECTRAL_WINDOW_ID": 0, "ANTENNA1": 0, "ANTENNA2": 0, "INTERVAL": 0.0,
            "SCAN_NUMBER": 1, "OBSERVATION_ID": 0}  # fmt: skip


def random_gains(channels: int = FREQS_HZ.size, antennas: int = len(NAMES), seed: int = 3) -> np.ndarray:
    """Gains of amplitudes 0.8 to 1.3 and any phase, constant over the channels, (antennas, channels, 2)."""
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.8, 1.3, (antennas, 1, 2)) * np.exp(1j * rng.uniform(-np.pi, np.pi, (antennas, 1, 2)))
    return np.repeat(gains, channels, axis=1)


def write_caltable(
    path: Path, kind: str, windows: Sequence[tuple[np.ndarray, np.ndarray]], *, names: Sequence[str] = NAMES,
    fields: Sequence[tuple[str, float, float]] = (STRIP,), times: Sequence[float] = (MJD_S,),
    columns: Mapping[str, Any] | None = None, telescope: str = "OVRO_MMA",
) -> Path:  # fmt: skip
    """Write a caltable of type `B Jones`, `G Jones` or `K Jones`.

    `windows` has for each spectral window its channels (Hz) and values (antennas, channels or 1, receptors);
    `columns` replaces whole columns.
    """
    is_delay = kind[0] == "K"
    value = "FPARAM" if is_delay else "CPARAM"
    arrays = {value: "float" if is_delay else "complex", "PARAMERR": "float", "FLAG": "boolean", "SNR": "float",
              "WEIGHT": "float"}  # fmt: skip
    described = [makescacoldesc(name, zero) for name, zero in _SCALARS.items()]
    described += [makearrcoldesc(name, None, ndim=2, valuetype=kind) for name, kind in arrays.items()]
    with table(str(path), maketabdesc(described), ack=False) as main:
        main.putinfo({"type": "Calibration", "subType": kind, "readme": ""})
        main.putkeywords({"ParType": "Float" if is_delay else "Complex", "VisCal": kind, "MSName": "a.ms",
                          "PolBasis": "unknown"})  # fmt: skip
        for time in times:
            for window, (_, values) in enumerate(windows):
                for antenna in range(len(names)):
                    row = main.nrows()
                    main.addrows(1)
                    for name, number in {"TIME": time, "SPECTRAL_WINDOW_ID": window, "ANTENNA1": antenna,
                                         "SCAN_NUMBER": 1}.items():  # fmt: skip
                        main.putcell(name, row, number)
                    cell = values[antenna]
                    main.putcell(value, row, cell.astype(np.float32 if is_delay else np.complex64))
                    main.putcell("FLAG", row, np.zeros(cell.shape, dtype=bool))
                    for name, number in (("PARAMERR", 0.01), ("SNR", 100.0), ("WEIGHT", 1.0)):
                        main.putcell(name, row, np.full(cell.shape, number, dtype=np.float32))
        for name, values in (columns or {}).items():
            main.putcol(name, values)
    _write_subtables(path, [freqs_hz for freqs_hz, _ in windows], names, fields, telescope)
    return path


def _write_subtables(path, windows, names, fields, telescope) -> None:
    field_rows = [
        {"NAME": name, **dict.fromkeys(("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"), np.radians([[ra, dec]]))}
        for name, ra, dec in fields
    ]
    window_rows = [
        {"NUM_CHAN": freqs_hz.size, "CHAN_FREQ": freqs_hz,
         "CHAN_WIDTH": np.full(freqs_hz.size, np.diff(freqs_hz)[0] if freqs_hz.size > 1 else WIDTH_HZ)}
        for freqs_hz in windows
    ]  # fmt: skip
    subtables = {"ANTENNA": [{"NAME": name, "STATION": name} for name in names], "FIELD": field_rows,
                 "SPECTRAL_WINDOW": window_rows, "OBSERVATION": [{"TELESCOPE_NAME": telescope}]}  # fmt: skip
    with table(str(path), readonly=False, ack=False) as main:
        for subtable, rows in subtables.items():
            described = [
                makearrcoldesc(name, None, ndim=value.ndim, valuetype="double")
                if isinstance(value, np.ndarray)
                else makescacoldesc(name, value)
                for name, value in rows[0].items()
            ]
            with table(f"{path}/{subtable}", maketabdesc(described), nrow=len(rows), ack=False) as written:
                for row, values in enumerate(rows):
                    for name, value in values.items():
                        written.putcell(name, row, value)
            main.putkeyword(subtable, f"Table: {path}/{subtable}")


def write_bandpass(path: Path, **arguments: Any) -> Path:
    """Write a bandpass of one window on `FREQS_HZ`."""
    return write_caltable(path, "B Jones", [(FREQS_HZ, random_gains())], **arguments)
