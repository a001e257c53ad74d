"""CASA calibration tables read into arrays: one complex gain per antenna, channel and receptor.

Tables of several spectral windows, in any order and with channels up or down, come out as one ascending band.
"""

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
    freqs_hz : ascending, shape (channels,): of a bandpass its channels, of gains the middle of each window.
    reach_hz : how far from its frequency each solution holds, shape (channels,): of a bandpass within its channel,
        of gains within their window, without end where there is one window only.
    gains : shape (times, slots, channels, receptors); NaN where there is no solution.
    snr : of each solution, the same shape.
    """

    antenna_names: tuple[str, ...]
    freqs_hz: NDArray[np.float64]
    reach_hz: NDArray[np.float64]
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
        freqs = [np.atleast_1d(windows.getcell("CHAN_FREQ", row)) for row in range(windows.nrows())]
        widths = [np.abs(np.atleast_1d(windows.getcell("CHAN_WIDTH", row))) for row in range(windows.nrows())]
    with table(str(path), ack=False) as main:
        if "CPARAM" not in main.colnames():
            raise BadInput(
                f"{path}: holds no complex gains ({main.info().get('subType')}); types B and G are understood"
            )
        columns = ("TIME", "ANTENNA1", "SPECTRAL_WINDOW_ID", "CPARAM", "FLAG", "SNR")
        times, slots, window_of, values, flags, snr = (main.getcol(name) for name in columns)
    usable = ~flags & np.isfinite(values) & (np.abs(values) > 0)
    used = sorted(np.unique(window_of), key=lambda window: float(freqs[window].mean()))
    stamp, count = _stamps(times, slots, window_of)
    pieces, ratios = [], []
    for window in used:
        rows = window_of == window
        shape = (count, len(names), *values.shape[1:])
        piece, ratio = np.full(shape, np.nan, dtype=np.complex128), np.full(shape, np.nan)
        piece[stamp[rows], slots[rows]] = np.where(usable, values, np.nan)[rows]
        ratio[stamp[rows], slots[rows]] = np.where(usable, snr, np.nan)[rows]
        upwards = slice(None, None, -1 if freqs[window][0] > freqs[window][-1] else 1)
        pieces.append(piece[:, :, upwards])
        ratios.append(ratio[:, :, upwards])
    gains = np.concatenate(pieces, axis=2)
    at, reach = _axis([freqs[one] for one in used], [widths[one] for one in used], values.shape[1])
    return Solutions(names, at, reach, gains, np.concatenate(ratios, axis=2))


def _stamps(
    times: NDArray[np.float64], slots: NDArray[np.int32], windows: NDArray[np.int32]
) -> tuple[NDArray[np.int64], int]:
    """Which solution time a row belongs to, and how many there are; windows of one solve may differ by seconds."""
    pairs = np.unique(np.stack([slots, windows]), axis=1)
    if pairs.shape[1] == times.size:
        return np.zeros(times.size, dtype=np.int64), 1
    stamps, which = np.unique(times, return_inverse=True)
    return which.reshape(-1), stamps.size


def _axis(
    freqs: list[NDArray[np.float64]], widths: list[NDArray[np.float64]], channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies and reach of the solutions of windows in ascending order."""
    if channels > 1:
        return np.concatenate([np.sort(one) for one in freqs]), 0.01 * np.concatenate(widths)
    middles = np.array([one.mean() for one in freqs])
    spans = np.array(
        [0.5 * float(one.max() - one.min() + width.mean()) for one, width in zip(freqs, widths, strict=True)]
    )
    return middles, np.full(1, np.inf) if middles.size == 1 else spans
