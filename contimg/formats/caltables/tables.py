"""CASA calibration tables read into arrays: per antenna, channel and receptor a complex gain or a delay.

Tables of several spectral windows, in any order and with channels up or down, come out as one ascending band.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.caltables.interpolation import bracket, delays_between, gains_between, nearest

_NS = 1e-9


@dataclass(frozen=True)
class Solutions:
    """The solutions of one table of type B or G.

    Attributes
    ----------
    antenna_names : of every slot, shape (slots,).
    times_mjd_s : of the solutions, ascending, shape (times, channels): windows may differ by seconds.
    freqs_hz : ascending, shape (channels,): of a bandpass its channels, of gains the middle of each window.
    reach_hz : how far from its frequency each solution holds, shape (channels,): of a bandpass within its channel,
        of gains within their window, without end where there is one window only.
    gains : shape (times, slots, channels, receptors); NaN where there is no solution.
    snr : of each solution, the same shape.
    """

    antenna_names: tuple[str, ...]
    times_mjd_s: NDArray[np.float64]
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

    def at(self, time_mjd_s: float, freqs_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Gains that hold at a time and at frequencies, shape (slots, freqs, receptors); NaN where none does."""
        holding = nearest(self.freqs_hz, self.reach_hz, freqs_hz)
        found = gains_between(self.gains, bracket(self.times_mjd_s, time_mjd_s))
        return np.where((holding >= 0)[None, :, None], found[:, holding], np.nan)


@dataclass(frozen=True)
class Delays(Solutions):
    """The solutions of one table of type K; `gains` are 1 where there is one.

    Attributes
    ----------
    delays_s : the shape of `gains`; the phase is 0 in the middle of each window, as CASA 6.7 has it.
    """

    delays_s: NDArray[np.float64]

    def at(self, time_mjd_s: float, freqs_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """The gains exp(2 pi i delay (nu - middle of the window))."""
        holding = nearest(self.freqs_hz, self.reach_hz, freqs_hz)
        found = delays_between(self.delays_s, bracket(self.times_mjd_s, time_mjd_s))[:, holding]
        away_hz = np.where(holding >= 0, freqs_hz - self.freqs_hz[holding], np.nan)
        return np.asarray(np.exp(2j * np.pi * found * away_hz[None, :, None]))


def present(path: Path) -> Path:
    """The path itself; raises BadInput when no table is there: CASA makes none and raises nothing when it fails."""
    if not (path / "table.dat").exists():
        raise BadInput(f"{path}: CASA made no such table; see its log (is the reference antenna in the data?)")
    return path


def read(path: Path) -> Solutions:
    """Read a CASA table of type G, B or K; raises BadInput when it is missing, unreadable or without any solution."""
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
        kind = str(main.info().get("subType", "")).strip()
        wanted = {"B Jones": "CPARAM", "G Jones": "CPARAM", "K Jones": "FPARAM"}.get(kind)
        if wanted not in main.colnames():
            raise BadInput(f"{path}: holds no gains or delays ({kind}); types B, G and K are understood")
        columns = ("TIME", "ANTENNA1", "SPECTRAL_WINDOW_ID", wanted, "FLAG", "SNR")
        times, slots, window_of, values, flags, snr = (main.getcol(name) for name in columns)
    usable = ~flags & np.isfinite(values) & ((np.abs(values) > 0) | (wanted == "FPARAM"))
    used = sorted(np.unique(window_of), key=lambda window: float(freqs[window].mean()))
    stamp, count = _stamps(path, times, slots, window_of)

    def band(numbers: NDArray[Any]) -> NDArray[Any]:
        """Rows (rows, channels, receptors) as (times, slots, all channels, receptors), frequencies ascending."""
        pieces = []
        for window in used:
            rows = window_of == window
            piece = np.full((count, len(names), *numbers.shape[1:]), np.nan, dtype=numbers.dtype)
            piece[stamp[rows], slots[rows]] = np.where(usable, numbers, np.nan)[rows]
            pieces.append(piece[:, :, :: -1 if freqs[window][0] > freqs[window][-1] else 1])
        return np.concatenate(pieces, axis=2)

    at, reach = _axis([freqs[one] for one in used], [widths[one] for one in used], values.shape[1])
    spread = [np.repeat(_middles(times, stamp, window_of == one, count)[:, None], values.shape[1], 1) for one in used]
    shared = (names, np.concatenate(spread, axis=1), at, reach)
    if wanted == "CPARAM":
        return Solutions(*shared, band(values.astype(np.complex128)), band(snr.astype(np.float64)))
    delays = band(values.astype(np.float64) * _NS)
    gains = np.where(np.isfinite(delays), 1.0 + 0j, np.nan)
    return Delays(*shared, gains, band(snr.astype(np.float64)), delays)


def _stamps(
    path: Path, times: NDArray[np.float64], slots: NDArray[np.int32], windows: NDArray[np.int32]
) -> tuple[NDArray[np.int64], int]:
    """Which solution time a row belongs to, and how many there are; windows of one solve may differ by seconds."""
    stamp = np.zeros(times.size, dtype=np.int64)
    pairs = np.unique(np.stack([slots, windows]), axis=1)
    if pairs.shape[1] == times.size:
        return stamp, 1
    counts = set()
    for window in np.unique(windows):
        rows = windows == window
        found, which = np.unique(times[rows], return_inverse=True)
        stamp[rows] = which.reshape(-1)
        counts.add(found.size)
    if len(counts) > 1:
        raise BadInput(f"{path}: its windows have different numbers of solution times; import a set for each")
    return stamp, counts.pop()


def _middles(
    times: NDArray[np.float64], stamp: NDArray[np.int64], rows: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """The time of each of a window's solutions, shape (times,)."""
    return np.array([np.median(times[rows & (stamp == one)]) for one in range(count)])


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
