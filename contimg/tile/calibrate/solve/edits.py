"""Edits of a caltable in place, after CASA has solved: gaps filled, unreliable solutions flagged, fluxes rescaled.

CASA's own `fillgaps` interpolates the phase as it is; with delays of hundreds of nanoseconds it turns by radians from
channel to channel, and the filled channels are wrong by up to half a turn. Here each antenna's delay is taken out
first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from casacore.tables import makearrcoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.arrays import Mask
from contimg.formats.caltables.solutions import DATA_FRACTION
from contimg.formats.ms.revision import writable

MAX_MISSING = 0.5  # of the channels at which the array has solutions
_PADDING = 8


def fill_gaps(path: Path, max_channels: int) -> int:
    """Fill the gaps of a caltable of type B by interpolation.

    Parameters
    ----------
    path : the caltable.
    max_channels : widest gap that is filled.

    Returns
    -------
    The number of solutions filled.
    """
    total = 0
    with writable(path) as main:
        values, flags, snr = main.getcol("CPARAM"), main.getcol("FLAG"), main.getcol("SNR")
        for row, receptor in np.ndindex(values.shape[0], values.shape[2]):
            filled = fill_line(values[row, :, receptor], ~flags[row, :, receptor], max_channels)
            flags[row, filled, receptor] = False
            snr[row, filled, receptor] = 0.0
            total += int(np.count_nonzero(filled))
        for name, column in (("CPARAM", values), ("FLAG", flags), ("SNR", snr)):
            main.putcol(name, column)
    return total


def fill_line(gains: NDArray[np.complex64], good: Mask, max_channels: int) -> Mask:
    """Fill runs of at most `max_channels` bad channels between good ones, in place.

    Parameters
    ----------
    gains, good : shape (channels,), evenly spaced.
    max_channels : widest run that is filled.

    Returns
    -------
    The channels that were filled, shape (channels,).
    """
    channels = np.arange(gains.size)
    solved = np.flatnonzero(good)
    if solved.size < 2 or solved.size == gains.size:
        return np.zeros(gains.size, dtype=bool)
    after = np.searchsorted(solved, channels).clip(0, solved.size - 1)
    gap = solved[after] - solved[np.maximum(after - 1, 0)] - 1
    filled = ~good & (channels > solved[0]) & (channels < solved[-1]) & (gap <= max_channels)
    turning = np.exp(2j * np.pi * fit_delay_turns(gains, good) * channels)
    steady = gains[solved] / turning[solved]
    smooth = np.interp(channels, solved, steady.real) + 1j * np.interp(channels, solved, steady.imag)
    gains[filled] = (smooth * turning)[filled]
    return np.asarray(filled)


def fit_delay_turns(gains: NDArray[np.complex64], good: Mask) -> float:
    """Fit the delay in turns of phase per channel, in [-0.5, 0.5): the peak of the good channels' spectrum.

    Parameters
    ----------
    gains, good : shape (channels,), evenly spaced.
    """
    length = _PADDING * gains.size
    spectrum = np.abs(np.fft.fft(np.where(good, gains, 0), length))
    return float(np.fft.fftfreq(length)[int(np.argmax(spectrum))])


def flag_antennas(path: Path, slots: Sequence[int]) -> None:
    """Flag every solution of these antenna slots.

    Parameters
    ----------
    path : the caltable.
    slots : antenna slots, numbered as ANTENNA1 of the caltable.

    Raises
    ------
    Transient : the disk is full.
    """
    with _editable_flags(path) as (main, flags):
        flags[np.isin(main.getcol("ANTENNA1"), slots)] = True


def flag_failed_receptors(path: Path) -> int:
    """Flag the rest of receptors that lack most channels of a bandpass, for it passed by chance.

    Parameters
    ----------
    path : the caltable, of type B. Channels that no antenna has a solution for do not count as lacking.

    Returns
    -------
    The number of receptors flagged.

    Raises
    ------
    Transient : the disk is full.
    """
    with _editable_flags(path) as (_, flags):
        is_solvable = ~flags.all(axis=0, keepdims=True)
        missing = (flags & is_solvable).sum(axis=1) / np.maximum(is_solvable.sum(axis=1), 1)
        failed = np.argwhere((missing > MAX_MISSING) & (missing < 1))
        for row, receptor in failed:
            flags[row, :, receptor] = True
    return len(failed)


@contextmanager
def _editable_flags(path: Path) -> Iterator[tuple[table, Mask]]:
    """Open a caltable, and write its flags, shape (rows, channels, receptors), as they are in the end."""
    with writable(path) as main:
        flags = main.getcol("FLAG")
        yield main, flags
        main.putcol("FLAG", flags)


def write_data_fractions(path: Path, fractions: NDArray[np.float64], min_fraction: float) -> None:
    """Write the column DATA_FRACTION of a caltable, and flag the solutions of a lower fraction than the limit.

    Parameters
    ----------
    path : the caltable, of one spectral window and one solution in time.
    fractions : shape (slots, channels, receptors); averaged over the channels with data for a
        caltable with one solution for all channels.
    min_fraction : the limit.

    Raises
    ------
    Transient : the disk is full.
    """
    with _editable_flags(path) as (main, flags):
        if flags.shape[1] == 1:
            fractions = fractions[:, fractions.any(axis=(0, 2))].mean(axis=1, keepdims=True)
        of_rows = fractions[main.getcol("ANTENNA1")].astype(np.float32)
        description = maketabdesc([makearrcoldesc(DATA_FRACTION, None, valuetype="float", ndim=2)])
        # A manager of its own: added to CASA's, the column damages the other columns when rows are removed and added.
        main.addcols(description, {"TYPE": "StandardStMan", "NAME": "DataFraction", "SPEC": {}})
        main.putcol(DATA_FRACTION, of_rows)
        flags |= of_rows < min_fraction


def rescale_amplitudes(path: Path, flux_ratio: float) -> None:
    """Divide the amplitudes of a caltable by the root of a flux ratio.

    Parameters
    ----------
    path : the caltable, of type G or B.
    flux_ratio : the calibrator's flux over the flux of the model that was solved with.

    Raises
    ------
    Transient : the disk is full.
    """
    with writable(path) as main:
        main.putcol("CPARAM", (main.getcol("CPARAM") / np.sqrt(flux_ratio)).astype(np.complex64))
