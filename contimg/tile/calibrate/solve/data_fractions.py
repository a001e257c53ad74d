"""The fraction of its data that a solution rests on.

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

from contimg.formats.arrays import Mask, Slots
from contimg.formats.ms.columns import read_blocks
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table

_BLOCK_BYTES = 16 * 2**20
Floats = NDArray[np.float64]


def measure_data_fractions(ms: MSInfo, unflagged: Floats) -> Floats:
    """Measure the unflagged fraction of each antenna's cross-correlations with live antennas.

    Rows without any unflagged sample do not count: their samples are missing, and not chosen by their strength.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    unflagged : usable fraction of each slot's data, shape (slots,); 0 for a dead antenna.

    Returns
    -------
    The fractions of the parallel hands, shape (slots, channels, receptors); 0 for an antenna without data.
    """
    good = np.zeros((len(ms.antenna_names), len(ms.freqs_hz), len(ms.correlations)))
    total = np.zeros(len(ms.antenna_names))
    with open_table(ms.path) as main:
        ant1, ant2, row_flags = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "FLAG_ROW"))
        for rows, (flags,) in read_blocks(main, ("FLAG",), _BLOCK_BYTES):
            flags |= row_flags[rows][:, None, None]
            _count_samples(flags, ant1[rows], ant2[rows], unflagged > 0, good, total)
    return np.asarray(good[:, :, ms.parallel_hands] / np.maximum(total, 1.0)[:, None, None])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count_samples(flags: Mask, ant1: Slots, ant2: Slots, is_live: Mask, good: Floats, total: Floats) -> None:
    """Count the unflagged samples, and the rows that have any, of live cross-correlations at both their antennas."""
    for row in range(flags.shape[0]):
        i, j = ant1[row], ant2[row]
        if i == j or not (is_live[i] and is_live[j]) or flags[row].all():
            continue
        total[i] += 1
        total[j] += 1
        for channel in range(flags.shape[1]):
            for pol in range(flags.shape[2]):
                if not flags[row, channel, pol]:
                    good[i, channel, pol] += 1
                    good[j, channel, pol] += 1
