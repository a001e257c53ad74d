"""CASA caltables read into arrays: per antenna, channel and receptor a complex gain or a delay.

Caltables of several spectral windows, in any order and with channels ascending or descending, give one ascending
band. Solutions are interpolated as CASA's `linear` does: in time amplitude, phase (by the shorter way) and delay
linearly from one solution to the next, constant before the first and after the last, none where either is flagged. In
frequency nothing is interpolated: a channel has its own solution or none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.arrays import Mask, Rows
from contimg.formats.tables import open_table

KINDS = {"B Jones": "bcal", "G Jones": "gcal", "K Jones": "kcal"}
_NS = 1e-9
_MAX_CHANNEL_OFFSET = 0.01  # of the channel's width
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Solutions:
    """Solutions of one caltable of type B or G.

    Attributes
    ----------
    antenna_names : of every slot, shape (slots,).
    times_mjd_s : of the solutions, ascending, shape (times, channels): windows may differ by seconds.
    freqs_hz : ascending, shape (channels,): of a bandpass its channels, of gains the middle of each window.
    reach_hz : distance from its frequency within which a solution is valid, shape (channels,): of a bandpass within
        its channel, of gains within their window, infinite where there is one window only.
    gains : shape (times, slots, channels, receptors); NaN where there is no solution.
    snr : signal to noise of each solution, the same shape.
    """

    antenna_names: tuple[str, ...]
    times_mjd_s: Floats
    freqs_hz: Floats
    reach_hz: Floats
    gains: NDArray[np.complex128]
    snr: Floats

    @property
    def solved(self) -> Mask:
        """Where there is a solution, the shape of `gains`."""
        return np.isfinite(self.gains.real)

    def steady_gains(self) -> NDArray[np.complex128]:
        """Give the gains of a caltable with one solution in time, shape (slots, channels, receptors).

        Raises
        ------
        BadInput : it has several solutions in time.
        """
        if self.gains.shape[0] != 1:
            raise BadInput(f"{self.gains.shape[0]} solution times, expected 1; solve with solint inf")
        return np.asarray(self.gains[0])

    def interpolate(self, time_mjd_s: float, freqs_hz: Floats) -> NDArray[np.complex128]:
        """Interpolate the gains to a time.

        Parameters
        ----------
        time_mjd_s : UTC, MJD seconds.
        freqs_hz : shape (freqs,).

        Returns
        -------
        Gains, shape (slots, freqs, receptors); NaN where no solution is valid.
        """
        index = self._find_solutions(freqs_hz)
        before, after, part = self._bracket(self.gains, time_mjd_s)
        with np.errstate(invalid="ignore"):
            amplitude = (1 - part) * np.abs(before) + part * np.abs(after)
            gains = amplitude * np.exp(1j * (np.angle(before) + part * np.angle(after / before)))
        return np.where((index >= 0)[None, :, None], gains[:, index], np.nan)

    def _find_solutions(self, freqs_hz: Floats) -> Rows:
        """Find the index of the solution that is valid at each frequency, -1 where none is."""
        nearest = np.searchsorted(0.5 * (self.freqs_hz[1:] + self.freqs_hz[:-1]), freqs_hz)
        return np.where(np.abs(self.freqs_hz[nearest] - freqs_hz) <= self.reach_hz[nearest], nearest, -1)

    def _bracket(self, values: NDArray[Any], time_mjd_s: float) -> tuple[NDArray[Any], NDArray[Any], Floats]:
        """Find the values before and after a time, and its part of the interval between them, 0 to 1.

        `values` has the shape of `gains`, those returned (slots, channels, receptors); the part broadcasts to it.
        """
        times, last = self.times_mjd_s, len(self.times_mjd_s) - 1
        channels = np.arange(times.shape[1])
        before = np.clip((times <= time_mjd_s).sum(axis=0) - 1, 0, last)
        start = times[before, channels]
        after = np.where(start < time_mjd_s, np.minimum(before + 1, last), before)
        span = times[after, channels] - start
        part = np.divide(time_mjd_s - start, span, out=np.zeros_like(span), where=span > 0)
        ends = (np.moveaxis(values[index, :, channels], 0, 1) for index in (before, after))
        return *ends, part[None, :, None]


@dataclass(frozen=True)
class Delays(Solutions):
    """Solutions of one caltable of type K; `gains` are 1 where there is one.

    Attributes
    ----------
    delays_s : the shape of `gains`; the phase is 0 in the middle of each window, as in CASA 6.7.
    """

    delays_s: Floats

    def interpolate(self, time_mjd_s: float, freqs_hz: Floats) -> NDArray[np.complex128]:
        """Give the gains exp(2 pi i delay (nu - middle of the window)); see Solutions.interpolate.

        Parameters
        ----------
        time_mjd_s : UTC, MJD seconds; the delay is interpolated linearly to it.
        freqs_hz : nu, shape (freqs,).

        Returns
        -------
        Gains of amplitude 1, shape (slots, freqs, receptors); NaN where no solution is valid.
        """
        index = self._find_solutions(freqs_hz)
        before, after, part = self._bracket(self.delays_s, time_mjd_s)
        delays_s = ((1 - part) * before + part * after)[:, index]
        offset_hz = np.where(index >= 0, freqs_hz - self.freqs_hz[index], np.nan)
        return np.asarray(np.exp(2j * np.pi * delays_s * offset_hz[None, :, None]))


def read_kind(path: Path) -> str:
    """Read the kind of a caltable: `bcal`, `gcal` or `kcal`.

    Parameters
    ----------
    path : the caltable.

    Raises
    ------
    BadInput : there is no table, or it is of another type. CASA raises nothing when it writes none.
    """
    if not (path / "table.dat").exists():
        raise BadInput(f"{path}: no such caltable; see CASA's log (is the reference antenna in the data?)")
    with open_table(path) as main:
        subtype = str(main.info().get("subType", "")).strip()
    if subtype not in KINDS:
        raise BadInput(f"{path}: a table of type {subtype or 'unknown'}; types {', '.join(KINDS)} are supported")
    return KINDS[subtype]


def read_solutions(path: Path) -> Solutions:
    """Read a caltable of type G, B or K.

    Parameters
    ----------
    path : the caltable.

    Returns
    -------
    the solutions of all its spectral windows as one ascending band; `Delays` for type K.

    Raises
    ------
    BadInput : it is missing, unreadable or without any solution.
    """
    try:
        solutions = _read(path, "FPARAM" if read_kind(path) == "kcal" else "CPARAM")
    except RuntimeError as error:
        raise BadInput(f"{path}: not a readable caltable ({error})") from error
    if not solutions.solved.any():
        raise BadInput(f"{path}: every solution is flagged; check the flags and the calibrator's flux")
    return solutions


@dataclass(frozen=True)
class _Window:
    """Solutions of one spectral window: their rows, the times and the index into them of each row."""

    rows: Mask
    times_mjd_s: Floats
    time_index: Rows
    freqs_hz: Floats
    widths_hz: Floats


def _read(path: Path, column: str) -> Solutions:
    with open_table(path / "ANTENNA") as antenna:
        names = tuple(antenna.getcol("NAME"))
    with open_table(path) as main:
        columns = ("TIME", "ANTENNA1", "SPECTRAL_WINDOW_ID", column, "FLAG", "SNR")
        times, slots, window_of, values, flags, snr = (main.getcol(name) for name in columns)
    usable = ~flags & np.isfinite(values) & ((np.abs(values) > 0) | (column == "FPARAM"))
    windows = _read_windows(path, times, slots, window_of)
    channels = values.shape[1]

    def arrange(numbers: NDArray[Any]) -> NDArray[Any]:
        """Arrange (rows, channels, receptors) as (times, slots, all channels, receptors), frequencies ascending.

        Parameters
        ----------
        numbers : values of a column, shape (rows, channels, receptors).

        Returns
        -------
        NaN where a solution is flagged or missing.
        """
        blocks = []
        for window in windows:
            shape = (len(window.times_mjd_s), len(names), *numbers.shape[1:])
            block = np.full(shape, np.nan, dtype=numbers.dtype)
            block[window.time_index, slots[window.rows]] = np.where(usable, numbers, np.nan)[window.rows]
            blocks.append(block[:, :, :: -1 if window.freqs_hz[0] > window.freqs_hz[-1] else 1])
        return np.concatenate(blocks, axis=2)

    if channels > 1:
        freqs = np.concatenate([np.sort(window.freqs_hz) for window in windows])
        reach = _MAX_CHANNEL_OFFSET * np.concatenate([window.widths_hz for window in windows])
    else:
        freqs = np.array([window.freqs_hz.mean() for window in windows])
        reach = np.array([0.5 * (np.ptp(window.freqs_hz) + window.widths_hz.mean()) for window in windows])
        reach = reach if len(windows) > 1 else np.array([np.inf])
    stamps = np.concatenate([np.repeat(window.times_mjd_s[:, None], channels, 1) for window in windows], axis=1)
    shared = (names, stamps, freqs, reach)
    if column == "CPARAM":
        return Solutions(*shared, arrange(values.astype(np.complex128)), arrange(snr.astype(np.float64)))
    delays = arrange(values.astype(np.float64) * _NS)
    return Delays(*shared, np.where(np.isfinite(delays), 1.0 + 0j, np.nan), arrange(snr.astype(np.float64)), delays)


def _read_windows(path: Path, times: Floats, slots: Rows, window_of: Rows) -> list[_Window]:
    """Read the windows that have solutions, frequencies ascending; windows of one solve may differ by seconds."""
    is_steady = np.unique(np.stack([slots, window_of]), axis=1).shape[1] == times.size
    windows = []
    with open_table(path / "SPECTRAL_WINDOW") as spectral_windows:
        for number in np.unique(window_of):
            rows = window_of == number
            stamps, index = np.unique(times[rows], return_inverse=True)
            if is_steady:
                stamps, index = np.array([np.median(times[rows])]), np.zeros_like(index)
            freqs, widths = (
                np.atleast_1d(spectral_windows.getcell(name, int(number))) for name in ("CHAN_FREQ", "CHAN_WIDTH")
            )
            windows.append(_Window(rows, stamps, index.reshape(-1), freqs, np.abs(widths)))
    if len({len(window.times_mjd_s) for window in windows}) > 1:
        raise BadInput(f"{path}: its windows have different numbers of solution times; import a set for each")
    return sorted(windows, key=lambda window: float(window.freqs_hz.mean()))
