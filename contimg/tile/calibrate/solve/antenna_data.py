"""The fraction of its data that a solution rests on, and the total power of each antenna.

A search for interference removes the strongest samples. Where it takes most of a channel, what is left is the faintest
part of the data and the interference below its threshold, and the solution is wrong though its signal to noise is
high. Measured with 60 antennas, 24 integrations and a signal to noise of 6 for a sample: where the strongest samples
are flagged, an antenna's gain is off by 5 % with 70 % of the data left, by 12 % with 30 % and by 20 % with 10 %; with
interference as strong as the calibrator the worst is off by 44 % with 30 % left and by 82 % with 10 %. Samples that are
missing for another reason do no harm: 2 % with 30 % left.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data, Mask, Rows, Slots

Floats = NDArray[np.float64]


class AntennaData:
    """What the data of a tile's parallel hands give for each antenna, counted block by block.

    Parameters
    ----------
    is_live : whether an antenna counts, shape (slots,).
    channels, hands : of the data.
    """

    def __init__(self, is_live: Mask, channels: int, hands: int) -> None:
        self._is_live = is_live
        self._good, self._rows = np.zeros((is_live.size, channels, hands), dtype=np.int64), np.zeros(is_live.size)
        self._power, self._power_count = np.zeros(is_live.size), np.zeros(is_live.size)

    def add(self, data: Data, flags: Mask, ant1: Slots, ant2: Slots, is_flagged: Mask) -> None:
        """Add a block of rows.

        Parameters
        ----------
        data, flags : shape (rows, channels, hands).
        ant1, ant2, is_flagged : slots of the antennas, and FLAG_ROW, shape (rows,).
        """
        _count_samples(flags, ant1, ant2, is_flagged, self._is_live, self._good, self._rows)
        autos = np.flatnonzero(ant1 == ant2)
        if autos.size:
            _add_powers(data, flags, autos, ant1, self._power, self._power_count)

    @property
    def fractions(self) -> Floats:
        """Unflagged fraction of each antenna's cross-correlations, shape (slots, channels, hands); 0 without data.

        Rows without any unflagged sample do not count: their samples are missing, and not chosen by their strength.
        """
        return np.asarray(self._good / np.maximum(self._rows, 1.0)[:, None, None])

    @property
    def total_powers(self) -> Floats:
        """Mean autocorrelation of each antenna, shape (slots,); NaN without one."""
        power, count = self._power, self._power_count
        return np.asarray(np.divide(power, count, out=np.full(power.size, np.nan), where=count > 0))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count_samples(
    flags: Mask, ant1: Slots, ant2: Slots, is_flagged: Mask, is_live: Mask, good: Rows, total: Floats
) -> None:  # fmt: skip
    """Count the unflagged samples, and the rows that have any, of live cross-correlations at both their antennas."""
    for row in range(flags.shape[0]):
        i, j = ant1[row], ant2[row]
        if i == j or is_flagged[row] or not (is_live[i] and is_live[j]) or flags[row].all():
            continue
        total[i] += 1
        total[j] += 1
        good_i, good_j, row_flags = good[i], good[j], flags[row]
        for channel in range(flags.shape[1]):
            for pol in range(flags.shape[2]):
                is_good = not row_flags[channel, pol]
                good_i[channel, pol] += is_good
                good_j[channel, pol] += is_good


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _add_powers(data: Data, flags: Mask, rows: Rows, ant1: Slots, power: Floats, count: Floats) -> None:
    """Add the moduli and the number of unflagged samples of autocorrelations."""
    for row in rows:
        for channel in range(data.shape[1]):
            for pol in range(data.shape[2]):
                if not flags[row, channel, pol]:
                    power[ant1[row]] += abs(data[row, channel, pol])
                    count[ant1[row]] += 1
