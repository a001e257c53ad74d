"""Fill narrow gaps in a bandpass by interpolation, with each antenna's delay taken out first.

CASA's own `fillgaps` interpolates the phase as it stands; with delays of hundreds of nanoseconds it turns by radians
from channel to channel, and the filled channels come out wrong by up to half a turn.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.writable import writable

_PADDING = 8


def fill_table(path: Path, widest: int) -> int:
    """Fill the gaps of a table of type B in place; returns the number of solutions filled."""
    filled = 0
    with writable(path) as main:
        values, flags, snr = main.getcol("CPARAM"), main.getcol("FLAG"), main.getcol("SNR")
        for row in range(values.shape[0]):
            for receptor in range(values.shape[2]):
                new = fill(values[row, :, receptor], ~flags[row, :, receptor], widest)
                filled += int(np.count_nonzero(new))
                flags[row, new, receptor] = False
                snr[row, new, receptor] = 0.0
        main.putcol("CPARAM", values)
        main.putcol("FLAG", flags)
        main.putcol("SNR", snr)
    return filled


def fill(gains: NDArray[np.complex64], good: NDArray[np.bool_], widest: int) -> NDArray[np.bool_]:
    """Fill runs of at most `widest` bad channels between good ones, in place; returns which were filled.

    gains, good : shape (channels,), evenly spaced.
    """
    channels = np.arange(gains.size)
    known = np.flatnonzero(good)
    new = np.zeros(gains.size, dtype=bool)
    if known.size < 2 or known.size == gains.size:
        return new
    after = np.searchsorted(known, channels).clip(0, known.size - 1)
    gap = known[after] - known[np.maximum(after - 1, 0)] - 1
    new = ~good & (channels > known[0]) & (channels < known[-1]) & (gap <= widest)
    turning = np.exp(2j * np.pi * delay_turns(gains, good) * channels)
    still = gains[known] / turning[known]
    smooth = np.interp(channels, known, still.real) + 1j * np.interp(channels, known, still.imag)
    gains[new] = (smooth * turning)[new]
    return np.asarray(new)


def delay_turns(gains: NDArray[np.complex64], good: NDArray[np.bool_]) -> float:
    """The delay in turns of phase per channel, in [-0.5, 0.5): the peak of the good channels' spectrum."""
    length = _PADDING * gains.size
    spectrum = np.abs(np.fft.fft(np.where(good, gains, 0), length))
    return float(np.fft.fftfreq(length)[int(np.argmax(spectrum))])
