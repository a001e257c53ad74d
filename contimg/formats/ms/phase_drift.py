"""The fringe kernel: from what a file is phased to, to one phase centre, in the Measurement Set's order, in one pass.

The file holds V·exp(−2πi f w_old/c); wanted is V·exp(−2πi f w_new/c), with w in the UVH5 convention (antenna 2 −
antenna 1). A Measurement Set holds the conjugate (antenna 1 − antenna 2), ascending channels, and antenna 1 ≤ antenna
2: where a baseline's antennas change places, the value is conjugated once more and XY becomes YX.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.uvh5.chunks import Bricks
from contimg.instrument.dsa110 import C_M_S

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
def _turns(w_change_m: float, axes: Axes, into: NDArray[np.complex64]) -> None:
    """The factor of each channel, exp(−2πi f w_change/c), by doubling: no factor waits for the one before it."""
    factors = np.empty(into.size, dtype=np.complex128)
    factors[0] = np.exp(-1j * _TURNS * w_change_m * axes.first_hz)
    step = np.exp(-1j * _TURNS * w_change_m * axes.step_hz)
    done = 1
    while done < into.size:
        for channel in range(min(done, into.size - done)):
            factors[done + channel] = factors[channel] * step
        step *= step
        done *= 2
    into[:] = factors


@numba.njit(nogil=True, cache=True)
def _plain_samples(flags: Bricks, nsamples: Bricks, rows: int) -> NDArray[np.float32]:
    """The number of samples of each row where all its values have the same and none is flagged; else 0.

    Told brick by brick, so that all rows of a brick are told alike: one sweep over the memory as it lies.
    """
    of_bricks = np.empty(nsamples.starts.shape[0], dtype=np.float32)
    for brick in range(of_bricks.size):
        of_bricks[brick] = _one_value(nsamples, brick)
    unflagged = np.empty(flags.starts.shape[0], dtype=np.bool_)
    for brick in range(unflagged.size):
        unflagged[brick] = _none_set(flags, brick)
    found = np.empty(rows, dtype=np.float32)
    for row in range(rows):
        samples = of_bricks[(row + nsamples.skipped) // nsamples.rows]
        found[row] = samples if unflagged[(row + flags.skipped) // flags.rows] else np.float32(0.0)
    return found


@numba.njit(nogil=True, cache=True)
def _one_value(bricks: Bricks, brick: int) -> np.float32:
    """The one positive, finite value that a row of bricks is filled with; else 0."""
    first = bricks.values[bricks.starts[brick, 0, 0]]
    others = 0
    for start in bricks.starts[brick].flat:
        values = bricks.values[start : start + bricks.rows * bricks.channels * bricks.correlations]
        for i in range(values.size):  # by index: only so the compiler makes it wide
            others += values[i] != first
    usable = first > np.float32(0.0) and first < np.float32(ABSURD)
    return first if usable and others == 0 else np.float32(0.0)


@numba.njit(nogil=True, cache=True)
def _none_set(bricks: Bricks, brick: int) -> bool:
    """Whether a row of bricks is false throughout."""
    count = 0
    for start in bricks.starts[brick].flat:
        values = bricks.values[start : start + bricks.rows * bricks.channels * bricks.correlations]
        for i in range(values.size):
            count += values[i]
    return count == 0


@numba.njit(nogil=True, cache=True)
def _gather(bricks: Bricks, row: int, into: NDArray[np.float32]) -> None:
    """Copy one row out of its bricks into an array of shape (correlations, channels)."""
    correlations, channels = into.shape
    inside, each = row + bricks.skipped, bricks.correlations
    line = (inside % bricks.rows) * bricks.channels * each
    for correlation in range(correlations):
        for j in range(bricks.starts.shape[1]):
            at = bricks.starts[inside // bricks.rows, j, correlation // each] + line + correlation % each
            first = j * bricks.channels
            for c in range(min(bricks.channels, channels - first)):
                into[correlation, first + c] = bricks.values[at + c * each]


@numba.njit(nogil=True, cache=True)
def _all_usable(values: NDArray[np.complex64]) -> bool:
    unusable = 0
    for correlation in range(values.shape[0]):
        for channel in range(values.shape[1]):
            size = abs(values[correlation, channel].real) + abs(values[correlation, channel].imag)
            unusable += not ((size < np.float32(ABSURD)) & (size > np.float32(0.0)))
    return unusable == 0


@numba.njit(nogil=True, cache=True)
def _turn_plainly(
    values: NDArray[np.complex64], swapped: bool, source: NDArray[np.int64], turns: NDArray[np.complex64], place: int,
    out: NDArray[np.complex64],
) -> None:  # fmt: skip
    """Turn one gathered row of usable values, which is spoilt, and put it into its place."""
    for correlation in range(values.shape[0]):
        if swapped:
            for channel in range(turns.size):
                values[correlation, channel] *= turns[channel]
        else:
            for channel in range(turns.size):
                values[correlation, channel] = np.conj(values[correlation, channel]) * turns[channel]
    for channel in range(turns.size):
        for correlation in range(values.shape[0]):
            out[place, channel, correlation] = values[source[correlation], channel]


@numba.njit(nogil=True, cache=True)
def _reason(given: bool, size: float) -> int:
    if given:
        return GIVEN
    if not (size < ABSURD):
        return TOO_LARGE if size == size else NOT_A_NUMBER
    return ZERO if size == 0.0 else NO_SAMPLES


@numba.njit(nogil=True, cache=True)
def _turn_with_care(
    given: NDArray[np.bool_], values: NDArray[np.complex64], weights: NDArray[np.float32], swapped: bool,
    axes: Axes, turns: NDArray[np.complex64], place: int, sums: Sums, out: Rotated, counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Turn one gathered row, looking at each value; arrays of shape (correlations, channels)."""
    for correlation in range(out.data.shape[2]):
        source = axes.source[1 if swapped else 0, correlation]
        samples, good = sums.samples[place, correlation], sums.good[place, correlation]
        for channel in range(turns.size):
            value, weight = values[source, channel], weights[source, channel]
            size = abs(value.real) + abs(value.imag)
            usable = weight > np.float32(0.0) and weight < np.float32(ABSURD)
            bad = given[source, channel] or not (size < ABSURD) or size == 0.0 or not usable
            turned = np.complex64(value if swapped else np.conj(value)) * turns[channel]
            out.data[place, channel, correlation] = turned if size < ABSURD else np.complex64(0.0)
            out.flags[place, channel, correlation] = bad
            if out.weights.shape[0]:
                out.weights[place, channel, correlation] = weight if usable else np.float32(0.0)
            if bad:
                counts[_reason(given[source, channel], size)] += 1
                continue
            if good > 0 and abs(samples - good * weight) > 1e-4 * samples:
                counts[UNEVEN] += 1
            samples += weight
            good += 1
        sums.samples[place, correlation], sums.good[place, correlation] = samples, good


@numba.njit(nogil=True, cache=True)
def _rotate_rows(
    visibilities: Bricks, flags: Bricks, nsamples: Bricks, changes: RowChanges, axes: Axes, sums: Sums, out: Rotated,
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Rotate every row of the block; `counts` gains what is flagged. Channels of `out` go as the file's go."""
    channels, correlations = out.data.shape[1], out.data.shape[2]
    values = np.empty((correlations, channels), dtype=np.complex64)
    given = np.empty((correlations, channels), dtype=np.bool_)
    weights = np.empty((correlations, channels), dtype=np.float32)
    turns = np.empty(channels, dtype=np.complex64)
    plain = _plain_samples(flags, nsamples, changes.place.size)
    for row in range(changes.place.size):
        _turns(changes.w_change_m[row], axes, turns)
        place, swapped = changes.place[row], changes.swapped[row]
        _gather(visibilities, row, values)
        if plain[row] > 0 and _all_usable(values):
            _turn_plainly(values, swapped, axes.source[1 if swapped else 0], turns, place, out.data)
            if out.weights.shape[0]:
                out.weights[place] = plain[row]
            for correlation in range(correlations):
                sums.samples[place, correlation] += plain[row] * channels
                sums.good[place, correlation] += channels
            continue
        _gather(flags, row, given)
        _gather(nsamples, row, weights)
        _turn_with_care(given, values, weights, swapped, axes, turns, place, sums, out, counts)


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
    out : filled; its flags come as zeros.

    Returns
    -------
    how many values were flagged and why, by GIVEN, NOT_A_NUMBER, TOO_LARGE, ZERO, NO_SAMPLES; and UNEVEN, the number
    of unflagged values whose nsamples differ from those before them in the same row.
    """
    counts = np.zeros(6, dtype=np.int64)
    if axes.step_hz < 0:  # the Measurement Set's channels ascend
        out = Rotated(out.data[:, ::-1], out.flags[:, ::-1], out.weights[:, ::-1])
    _rotate_rows(visibilities, flags, nsamples, changes, axes, sums, out, counts)
    return counts
