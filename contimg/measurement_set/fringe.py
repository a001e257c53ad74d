"""The fringe kernel: from what a file is phased to, to one phase centre, in the Measurement Set's order, in one pass.

The file holds V·exp(−2πi f w_old/c); wanted is V·exp(−2πi f w_new/c), with w in the UVH5 convention (antenna 2 −
antenna 1). A Measurement Set holds the conjugate (antenna 1 − antenna 2), ascending channels, and antenna 1 ≤ antenna
2: where a baseline's antennas change places, the value is conjugated once more and XY becomes YX.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.telescope import C_M_S
from contimg.uvh5.bricks import Bricks

ABSURD = 1e12  # no correlator count of this telescope comes near
_TURNS = 2.0 * np.pi / C_M_S
GIVEN, NOT_A_NUMBER, TOO_LARGE, ZERO, NO_SAMPLES, UNEVEN = range(6)


class RowChanges(NamedTuple):
    """What happens to each row of a block.

    Attributes
    ----------
    w_change_m : w_new − w_old in the Measurement Set's sense (antenna 1 − antenna 2), metres, shape (rows,).
    swapped : rows whose antennas change places, shape (rows,).
    place : where each row goes in the result, shape (rows,).
    """

    w_change_m: NDArray[np.float64]
    swapped: NDArray[np.bool_]
    place: NDArray[np.int64]


class Axes(NamedTuple):
    """How the file's channels and correlations lie.

    Attributes
    ----------
    first_hz, step_hz : frequency of the first channel and the step to the next, negative when they descend.
    source : of each correlation of the result, the file's: in a row as it stands, and in a swapped one,
        shape (2, correlations).
    """

    first_hz: float
    step_hz: float
    source: NDArray[np.int64]


class Sums(NamedTuple):
    """What is summed over the channels of a row, shape (rows, correlations).

    Attributes
    ----------
    samples : sum of nsamples over the unflagged channels.
    good : number of unflagged channels.
    """

    samples: NDArray[np.float32]
    good: NDArray[np.int32]


class Rotated(NamedTuple):
    """The result, shape (rows, channels, correlations); `weights` has no rows where they are not asked for."""

    data: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    weights: NDArray[np.float32]


@numba.njit(nogil=True, cache=True)
def _gather(bricks: Bricks, row: int, into: NDArray[np.float32]) -> None:
    """Copy one row out of its bricks into an array of shape (correlations, channels)."""
    correlations, channels = into.shape
    inside = row + bricks.skipped
    brick, line = inside // bricks.rows, inside % bricks.rows
    for k in range(bricks.starts.shape[2]):
        for j in range(bricks.starts.shape[1]):
            at = bricks.starts[brick, j, k] + line * bricks.channels * bricks.correlations
            first = j * bricks.channels
            for c in range(min(bricks.channels, channels - first)):
                for p in range(min(bricks.correlations, correlations - k * bricks.correlations)):
                    into[k * bricks.correlations + p, first + c] = bricks.values[at + c * bricks.correlations + p]


@numba.njit(nogil=True, cache=True)
def _turns(w_change_m: float, axes: Axes, into: NDArray[np.complex64]) -> None:
    """The factor of each channel, exp(−2πi f w_change/c)."""
    turn = np.exp(-1j * _TURNS * w_change_m * axes.first_hz)
    step = np.exp(-1j * _TURNS * w_change_m * axes.step_hz)
    for channel in range(into.size):
        into[channel] = turn
        turn = turn * step


@numba.njit(nogil=True, cache=True)
def _reason(given: bool, size: float) -> int:
    if given:
        return GIVEN
    if not (size < ABSURD):
        return TOO_LARGE if size == size else NOT_A_NUMBER
    return ZERO if size == 0.0 else NO_SAMPLES


@numba.njit(nogil=True, cache=True)
def _rotate_rows(
    visibilities: Bricks, flags: Bricks, nsamples: Bricks, changes: RowChanges, axes: Axes, sums: Sums, out: Rotated,
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Rotate every row of the block; `counts` gains what is flagged."""
    channels, correlations = out.data.shape[1], out.data.shape[2]
    values = np.empty((correlations, channels), dtype=np.complex64)
    given = np.empty((correlations, channels), dtype=np.bool_)
    weights = np.empty((correlations, channels), dtype=np.float32)
    turns = np.empty(channels, dtype=np.complex64)
    for row in range(changes.place.size):
        _gather(visibilities, row, values)
        _gather(flags, row, given)
        _gather(nsamples, row, weights)
        _turns(changes.w_change_m[row], axes, turns)
        place, swapped = changes.place[row], changes.swapped[row]
        for correlation in range(correlations):
            source = axes.source[1 if swapped else 0, correlation]
            samples, good = sums.samples[place, correlation], sums.good[place, correlation]
            for channel in range(channels):
                value, weight = values[source, channel], weights[source, channel]
                to = channel if axes.step_hz > 0 else channels - 1 - channel
                size = abs(value.real) + abs(value.imag)
                usable = weight > np.float32(0.0) and weight < np.float32(ABSURD)
                bad = given[source, channel] or not (size < ABSURD) or size == 0.0 or not usable
                turned = np.complex64(value if swapped else np.conj(value)) * turns[channel]
                out.data[place, to, correlation] = turned if size < ABSURD else np.complex64(0.0)
                out.flags[place, to, correlation] = bad
                if out.weights.shape[0]:
                    out.weights[place, to, correlation] = weight if usable else np.float32(0.0)
                if bad:
                    counts[_reason(given[source, channel], size)] += 1
                    continue
                if good > 0 and abs(samples - good * weight) > 1e-4 * samples:
                    counts[UNEVEN] += 1
                samples += weight
                good += 1
            sums.samples[place, correlation], sums.good[place, correlation] = samples, good


@numba.njit(nogil=True, cache=True)
def rotate_block(
    visibilities: Bricks, flags: Bricks, nsamples: Bricks, changes: RowChanges, axes: Axes, sums: Sums, out: Rotated
) -> NDArray[np.int64]:
    """Rotate one block of one subband and put it into the Measurement Set's order. Threads may run it side by side.

    What the file flags, what is not a number, absurdly large or exactly zero, and what has no positive, finite number
    of samples is flagged; what is not a number or absurd is stored as zero.

    Parameters
    ----------
    visibilities, flags, nsamples : as they lie in the file.
    changes : of each row, in file order.
    axes : of the file.
    sums : gains this block's; rows as in `out`.
    out : filled.

    Returns
    -------
    how many values were flagged and why, by GIVEN, NOT_A_NUMBER, TOO_LARGE, ZERO, NO_SAMPLES; and UNEVEN, the number
    of unflagged values whose nsamples differ from those before them in the same row.
    """
    counts = np.zeros(6, dtype=np.int64)
    _rotate_rows(visibilities, flags, nsamples, changes, axes, sums, out, counts)
    return counts
