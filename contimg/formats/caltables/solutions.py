"""CASA caltables read into arrays: per antenna, channel and receptor a complex gain or a delay.

Caltables of several spectral windows, of any size and order and with channels ascending or descending, give one
ascending band. Solutions are interpolated as CASA's `linear` does: in time amplitude, phase (by the shorter way) and
delay linearly from one solution to the next, constant before the first and after the last, none where either is
flagged. In frequency nothing is interpolated: a channel has its own solution or none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.arrays import Mask, Rows
from contimg.formats.tables import open_table

DATA_FRACTION = "DATA_FRACTION"  # a column of contimg's own caltables
KINDS = {"B Jones": "bcal", "G Jones": "gcal", "K Jones": "kcal"}
_NS = 1e-9
_MAX_CHANNEL_OFFSET = 0.01  # of the channel's width
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Solutions:
    """Solutions of one caltable.

    Attributes
    ----------
    antenna_names : of every slot, shape (slots,).
    times_mjd_s : of the solutions, ascending, shape (times, channels): windows may differ by seconds.
    freqs_hz : ascending, shape (channels,): of a bandpass its channels, of gains and delays the middle of each window.
    reach_hz : distance from its frequency within which a solution is valid, shape (channels,): of a bandpass within
        its channel, of gains within their window, infinite where there is one window only.
    gains : shape (times, slots, channels, receptors); NaN where there is no solution, 1 where there is a delay.
    snr : signal to noise of each solution, the same shape; 0 where it is not known.
    delays_s : of a caltable of type K, the same shape; the phase is 0 in the middle of each window, as in CASA 6.7.
    data_fractions : fraction of its data that each solution rests on, flagged ones included; NaN where not known.
    """

    antenna_names: tuple[str, ...]
    times_mjd_s: Floats
    freqs_hz: Floats
    reach_hz: Floats
    gains: NDArray[np.complex128]
    snr: Floats
    data_fractions: Floats
    delays_s: Floats | None = None

    @property
    def solved(self) -> Mask:
        """Where there is a solution, the shape of `gains`."""
        return np.isfinite(self.gains)

    @property
    def is_timeless(self) -> bool:
        """Whether the solutions have no times, as those that CASA's gencal makes from given values."""
        return not self.times_mjd_s.any()

    def covers(self, freqs_hz: Floats) -> Mask:
        """Find the frequencies that lie in a window of the caltable, shape (freqs,).

        Parameters
        ----------
        freqs_hz : shape (freqs,).
        """
        return self._find_solutions(freqs_hz) >= 0

    def select_antennas(self, names: Sequence[str]) -> "Solutions":
        """Give the solutions of these antennas, matched by name and in this order.

        Parameters
        ----------
        names : of the new slots; those that the caltable lacks have no solution.
        """
        slot_of = {name: slot for slot, name in enumerate(self.antenna_names)}
        slots = np.array([slot_of.get(name, -1) for name in names], dtype=np.int64)

        def select(values: NDArray[Any]) -> NDArray[Any]:
            return np.where((slots >= 0)[:, None, None], values[:, slots], np.nan)

        delays_s = None if self.delays_s is None else select(self.delays_s)
        return replace(
            self, antenna_names=tuple(names), gains=select(self.gains), snr=select(self.snr),
            data_fractions=select(self.data_fractions), delays_s=delays_s,
        )  # fmt: skip

    def interpolate(self, time_mjd_s: float, freqs_hz: Floats) -> NDArray[np.complex128]:
        """Interpolate the gains to a time; those of delays are exp(2 pi i delay (nu - middle of the window)).

        Parameters
        ----------
        time_mjd_s : UTC, MJD seconds.
        freqs_hz : nu, shape (freqs,).

        Returns
        -------
        Gains, shape (slots, freqs, receptors); NaN where no solution is valid.
        """
        index = self._find_solutions(freqs_hz)
        before, after, part = self._bracket(self.gains if self.delays_s is None else self.delays_s, time_mjd_s)
        if self.delays_s is None:
            with np.errstate(invalid="ignore"):
                amplitude = (1 - part) * np.abs(before) + part * np.abs(after)
                gains = (amplitude * np.exp(1j * (np.angle(before) + part * np.angle(after / before))))[:, index]
        else:
            delays_s = ((1 - part) * before + part * after)[:, index]
            gains = np.exp(2j * np.pi * delays_s * (freqs_hz - self.freqs_hz[index])[None, :, None])
        return np.where((index >= 0)[None, :, None], gains, np.nan)

    def _find_solutions(self, freqs_hz: Floats) -> Rows:
        """Find the index of the solution that is valid at each frequency, -1 where none is."""
        tops, bottoms = self.freqs_hz + self.reach_hz, self.freqs_hz - self.reach_hz
        nearest = np.searchsorted(0.5 * (tops[:-1] + bottoms[1:]), freqs_hz)  # windows may be of unequal size
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
    try:
        with open_table(path) as main:
            subtype = str(main.info().get("subType", "")).strip()
    except RuntimeError as error:
        raise BadInput(f"{path}: not a readable caltable ({error})") from error
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
    the solutions of all its spectral windows as one ascending band.

    Raises
    ------
    BadInput : it is missing, unreadable or without any solution.
    """
    kind = read_kind(path)
    try:
        solutions = _read(path, kind)
    except (RuntimeError, ValueError, IndexError) as error:
        raise BadInput(f"{path}: not a readable caltable ({error})") from error
    if not solutions.solved.any():
        raise BadInput(f"{path}: every solution is flagged; check the flags and the calibrator's flux")
    return solutions


@dataclass(frozen=True)
class _Window:
    """Solutions of one spectral window: the fields as of `Solutions`, and times of shape (times,)."""

    times_mjd_s: Floats
    freqs_hz: Floats
    reach_hz: Floats
    values: NDArray[Any]
    snr: Floats
    data_fractions: Floats


def _read(path: Path, kind: str) -> Solutions:
    with open_table(path / "ANTENNA") as antenna:
        names = tuple(antenna.getcol("NAME"))
    with open_table(path) as main:
        column = "FPARAM" if kind == "kcal" else "CPARAM"
        if column not in main.colnames():
            raise BadInput(f"{path}: has no column {column}, so CASA before 3.4 wrote it; solve again with a later one")
        windows = [
            _read_window(path, main.query(f"SPECTRAL_WINDOW_ID == {number}"), int(number), column, len(names))
            for number in np.unique(main.getcol("SPECTRAL_WINDOW_ID"))
        ]
    if len({len(window.times_mjd_s) for window in windows}) > 1:
        raise BadInput(f"{path}: its windows have different numbers of solution times; import a set for each")
    freqs, reach = (np.concatenate([getattr(window, name) for window in windows]) for name in ("freqs_hz", "reach_hz"))
    order = np.argsort(freqs)
    values, snr, data_fractions = (
        np.concatenate([getattr(window, name) for window in windows], axis=2)[:, :, order]
        for name in ("values", "snr", "data_fractions")
    )
    times = np.concatenate(
        [np.repeat(window.times_mjd_s[:, None], window.freqs_hz.size, axis=1) for window in windows], axis=1
    )
    names = _distinct_names(path, names, np.isfinite(values).any(axis=(0, 2, 3)))
    shared = names, times[:, order], freqs[order], reach[order] if freqs.size > 1 else np.array([np.inf])
    if kind == "kcal":
        gains = np.where(np.isfinite(values), 1.0 + 0j, np.nan)
        return Solutions(*shared, gains, snr, data_fractions, values * _NS)
    return Solutions(*shared, values, snr, data_fractions)


def _distinct_names(path: Path, names: tuple[str, ...], solved: Mask) -> tuple[str, ...]:
    """The names, with the slot appended to repeated ones of antennas without a solution; `solved` is of each slot."""
    counts = Counter(names)
    of_solved = Counter(name for name, is_solved in zip(names, solved, strict=True) if is_solved)
    for name, count in of_solved.items():
        if count > 1:
            raise BadInput(
                f"{path}: {count} antennas of the name {name}; antennas are matched by name, give each its own"
            )
    return tuple(
        name if is_solved or counts[name] == 1 else f"{name}#{slot}"
        for slot, (name, is_solved) in enumerate(zip(names, solved, strict=True))
    )


def _read_window(path: Path, rows: table, number: int, column: str, slot_count: int) -> _Window:
    """Read the solutions of one window; where each antenna has one, its time may differ by seconds from the others'."""
    times, slots, values, flags = (rows.getcol(name) for name in ("TIME", "ANTENNA1", column, "FLAG"))
    if not np.isfinite(times).all() or slots.min() < 0:
        raise BadInput(f"{path}: has rows without a valid TIME or ANTENNA1; solve again")
    snr, data_fractions = (_read_optional(rows, name, values.shape) for name in ("SNR", DATA_FRACTION))
    usable = ~flags & np.isfinite(values) & ((np.abs(values) > 0) | (column == "FPARAM"))
    stamps, index = np.unique(times, return_inverse=True)
    if np.unique(slots).size == slots.size:
        stamps, index = np.array([np.median(times)]), np.zeros_like(slots)
    with open_table(path / "SPECTRAL_WINDOW") as windows:
        freqs, widths = (np.atleast_1d(windows.getcell(name, number)) for name in ("CHAN_FREQ", "CHAN_WIDTH"))
    if values.shape[1] not in (1, freqs.size):
        raise BadInput(f"{path}: {values.shape[1]} solutions for the {freqs.size} channels of window {number}")
    reach = _MAX_CHANNEL_OFFSET * np.abs(widths)
    if values.shape[1] == 1:
        reach = np.array([0.5 * (np.ptp(freqs) + np.abs(widths).mean())])
        freqs = np.array([freqs.mean()])

    def arrange(numbers: NDArray[Any]) -> NDArray[Any]:
        block = np.full((stamps.size, slot_count, *numbers.shape[1:]), np.nan, dtype=numbers.dtype)
        block[index.reshape(-1), slots] = numbers
        return block

    values = np.where(usable, values.astype(np.complex128 if column == "CPARAM" else np.float64), np.nan)
    snr = np.where(usable, np.where(np.isfinite(snr) & (snr > 0), snr, 0.0), np.nan)
    return _Window(stamps, freqs, reach, arrange(values), arrange(snr), arrange(data_fractions))


def _read_optional(rows: table, name: str, shape: tuple[int, ...]) -> Floats:
    """Read a column of numbers; NaN where the caltable lacks it, or where its cells are empty or of another shape."""
    try:
        values = np.asarray(rows.getcol(name), dtype=np.float64)
    except RuntimeError:
        return np.full(shape, np.nan)
    return values if values.shape == shape else np.full(shape, np.nan)
