"""The fringe kernel: from the correlator's meridian fringe-stop to one phase centre, in the Measurement Set's order.

The correlator stored V·exp(−2πi f w_old/c); wanted is V·exp(−2πi f w_new/c), with w in the UVH5 convention
(antenna 2 − antenna 1). A Measurement Set holds the conjugate (antenna 1 − antenna 2), ascending channels, and
antenna 1 ≤ antenna 2: where a baseline's antennas change places, the value is conjugated once more.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.telescope import C_M_S

ABSURD = 1e12  # no correlator count of this telescope comes near


@numba.njit(parallel=True, cache=True, fastmath=False)
def rotate_block(
    visibilities: NDArray[np.complex64],
    flags: NDArray[np.bool_],
    nsamples: NDArray[np.float32],
    w_change_m: NDArray[np.float64],
    swapped: NDArray[np.bool_],
    rows: NDArray[np.int64],
    top_hz: float,
    step_hz: float,
    data: NDArray[np.complex64],
    flagged: NDArray[np.bool_],
    samples: NDArray[np.float64],
    good: NDArray[np.int64],
) -> None:
    """Rotate one block of one subband and put it into the Measurement Set's order.

    Parameters
    ----------
    visibilities, flags, nsamples : as read, shape (rows, channels, correlations), channels descending.
    w_change_m : w_old − w_new of each row, metres, shape (rows,).
    swapped : rows whose antennas change places, shape (rows,).
    rows : where each row goes, shape (rows,).
    top_hz, step_hz : frequency of the first channel, and the (positive) step down to the next.
    data, flagged : the result, shape (rows, channels, correlations), channels ascending. What is not a number,
        absurdly large, exactly zero in a cross-correlation's every channel, or of no samples is flagged.
    samples : gains the sum over unflagged channels of nsamples, shape (rows, correlations).
    good : gains the number of unflagged values, shape (rows, correlations).
    """
    count, channels, correlations = visibilities.shape
    turns_per_hz = 2.0 * np.pi / C_M_S
    for row in numba.prange(count):
        out = rows[row]
        phase = np.exp(1j * turns_per_hz * w_change_m[row] * top_hz)
        step = np.exp(-1j * turns_per_hz * w_change_m[row] * step_hz)
        for channel in range(channels):
            ascending = channels - 1 - channel
            for correlation in range(correlations):
                value = visibilities[row, channel, correlation]
                weight = nsamples[row, channel, correlation]
                size = abs(value.real) + abs(value.imag)
                bad = flags[row, channel, correlation] or not (size < ABSURD) or size == 0.0 or not (weight > 0.0)
                flagged[out, ascending, correlation] = bad
                if not (size < ABSURD):
                    data[out, ascending, correlation] = 0.0
                    continue
                turned = value * phase
                data[out, ascending, correlation] = turned if swapped[row] else np.conj(turned)
                if not bad:
                    samples[out, correlation] += weight
                    good[out, correlation] += 1
            phase *= step
