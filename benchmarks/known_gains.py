"""Make a calibration set of the true gains of a simulation, so that applying can be measured without solving."""

from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.quality.grades import GOOD
from contimg.tile.calibrate.selection import pointing_dec_deg

SNR = 100.0
DAY_S = 86400.0


def known_set(tile: MSInfo, truth: Path, directory: Path) -> CaltableSet:
    """Write a bandpass and gains in the form of CASA's tables from the true gains in `truth/<group>.npz`."""
    with np.load(truth) as true:
        order = np.argsort(true["freqs_hz"])
        slots, gains = true["stations"] - 1, true["gains"][:, order]
    bandpass = np.full((len(tile.antenna_names), *gains.shape[1:]), np.nan, dtype=np.complex64)
    bandpass[slots] = np.where(np.abs(gains) > 0, gains, np.nan)
    steady = np.where(np.isfinite(bandpass[:, :1]), np.complex64(1), np.nan)
    directory.mkdir(parents=True)
    _write(directory / "known.bcal", "B Jones", tile, tile.freqs_hz, bandpass)
    _write(directory / "known.gcal", "G Jones", tile, tile.freqs_hz.mean(keepdims=True), steady)
    mjd = tile.mid_mjd_s / DAY_S
    return CaltableSet(
        name="known", directory=directory, tables=("known.bcal", "known.gcal"), calibrator="truth", model_jy=1.0,
        flux_scale="the simulation's own", attenuation=1.0, mjd=mjd, valid_from_mjd=mjd - 1, valid_to_mjd=mjd + 1,
        gains_valid_from_mjd=mjd - 1, gains_valid_to_mjd=mjd + 1,
        reference_antenna=tile.antenna_names[int(slots[0])], antennas=tuple(tile.antenna_names[slot] for slot in slots),
        first_freq_hz=float(tile.freqs_hz[0]), channel_width_hz=tile.channel_width_hz, channels=len(tile.freqs_hz),
        flagged_fraction=0.0, quality={}, versions={}, dec_deg=pointing_dec_deg(tile), grade=GOOD,
    )  # fmt: skip


def _write(path: Path, kind: str, tile: MSInfo, freqs_hz: NDArray[np.float64], gains: NDArray[np.complex64]) -> None:
    """Write one row per antenna slot; gains of shape (slots, channels, receptors), flagged where NaN."""
    rows, unsolved = len(gains), ~np.isfinite(gains)
    columns: dict[str, tuple[Any, Any]] = {
        "TIME": (makescacoldesc("TIME", 0.0), np.full(rows, tile.mid_mjd_s)),
        "ANTENNA1": (makescacoldesc("ANTENNA1", 0), np.arange(rows, dtype=np.int32)),
        "SPECTRAL_WINDOW_ID": (makescacoldesc("SPECTRAL_WINDOW_ID", 0), np.zeros(rows, dtype=np.int32)),
        "CPARAM": (makearrcoldesc("CPARAM", 0j, 2, valuetype="complex"), np.where(unsolved, 1, gains)),
        "FLAG": (makearrcoldesc("FLAG", False, 2), unsolved),
        "SNR": (makearrcoldesc("SNR", 0.0, 2, valuetype="float"), np.where(unsolved, 0, SNR).astype(np.float32)),
    }
    _table(path, columns)
    _table(path / "ANTENNA", {"NAME": (makescacoldesc("NAME", ""), list(tile.antenna_names))})
    widths = np.full(freqs_hz.size, tile.channel_width_hz * len(tile.freqs_hz) / freqs_hz.size)
    window = {
        name: (makearrcoldesc(name, 0.0, 1), value[None])
        for name, value in (("CHAN_FREQ", freqs_hz), ("CHAN_WIDTH", widths))
    }
    _table(path / "SPECTRAL_WINDOW", window)
    with table(str(path), readonly=False, ack=False) as main:
        main.putinfo({"type": "Calibration", "subType": kind})
        for name in ("ANTENNA", "SPECTRAL_WINDOW"):
            main.putkeyword(name, f"Table: {path / name}")


def _table(path: Path, columns: dict[str, tuple[Any, Any]]) -> None:
    described = maketabdesc([description for description, _ in columns.values()])
    with table(str(path), described, nrow=len(next(iter(columns.values()))[1]), ack=False) as main:
        for name, (_, values) in columns.items():
            main.putcol(name, values)
