"""CASA calibration tables read into arrays: one complex gain per antenna, channel and receptor."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.errors import BadInput


@dataclass(frozen=True)
class Solutions:
    """The solutions of one table.

    Attributes
    ----------
    antenna_names : of every slot, shape (slots,).
    freqs_hz : the channels of a bandpass, shape (channels,); shape (1,) for gains.
    gains : shape (times, slots, channels, receptors); NaN where there is no solution.
    snr : of each solution, the same shape.
    """

    antenna_names: tuple[str, ...]
    freqs_hz: NDArray[np.float64]
    gains: NDArray[np.complex128]
    snr: NDArray[np.float64]

    @property
    def solved(self) -> NDArray[np.bool_]:
        """Where there is a solution."""
        return np.isfinite(self.gains.real)

    def steady(self) -> NDArray[np.complex128]:
        """The gains of a table with one solution in time, shape (slots, channels, receptors)."""
        if self.gains.shape[0] != 1:
            raise BadInput(f"{self.gains.shape[0]} solution times where one is expected; solve with solint inf")
        return np.asarray(self.gains[0])


def present(path: Path) -> Path:
    """The path itself; raises BadInput when no table is there: CASA makes none and raises nothing when it fails."""
    if not (path / "table.dat").exists():
        raise BadInput(f"{path}: CASA made no such table; see its log (is the reference antenna in the data?)")
    return path


def read(path: Path) -> Solutions:
    """Read a CASA table of type G or B; raises BadInput when it is missing, unreadable or without any solution."""
    try:
        found = _read(present(path))
    except RuntimeError as error:
        raise BadInput(f"{path}: not a readable calibration table ({error})") from error
    if not found.solved.any():
        raise BadInput(f"{path}: every solution is flagged; look at the flags and the calibrator's flux")
    return found


def _read(path: Path) -> Solutions:
    with table(f"{path}::ANTENNA", ack=False) as antenna:
        names = tuple(antenna.getcol("NAME"))
    with table(f"{path}::SPECTRAL_WINDOW", ack=False) as windows:
        freqs = np.atleast_1d(windows.getcell("CHAN_FREQ", 0))
    with table(str(path), ack=False) as main:
        times, stamp = np.unique(main.getcol("TIME"), return_inverse=True)
        slots = main.getcol("ANTENNA1")
        values, flags, snr = main.getcol("CPARAM"), main.getcol("FLAG"), main.getcol("SNR")
    gains = np.full((times.size, len(names), *values.shape[1:]), np.nan, dtype=np.complex128)
    ratio = np.full(gains.shape, np.nan)
    usable = ~flags & (np.abs(values) > 0)
    gains[stamp, slots] = np.where(usable, values, np.nan)
    ratio[stamp, slots] = np.where(usable, snr, np.nan)
    return Solutions(names, freqs[:1] if values.shape[1] == 1 else freqs, gains, ratio)
