"""The fringe kernel: from the direction a file is phased to, to one phase centre, in the Measurement Set's order.

The file holds V·exp(−2πi f w_old/c); the Measurement Set needs V·exp(−2πi f w_new/c), with w in the UVH5 convention
(antenna 2 − antenna 1). A Measurement Set holds the conjugate (antenna 1 − antenna 2), ascending channels, and antenna
1 ≤ antenna 2: where a baseline's antennas are swapped, the value is conjugated once more and XY becomes YX. Source:
Thompson, Moran & Swenson, 3rd ed., ch. 2 and 4; Measurement Set convention: Kemball & Wieringa 2000.
"""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.uvh5.chunks import Chunks
from contimg.instrument.dsa110 import C_M_S

MAX_VISIBILITY = 1e12  # far above every correlator count of this telescope
_RAD_PER_M_HZ = 2.0 * np.pi / C_M_S
IN_FILE, NOT_A_NUMBER, TOO_LARGE, ZERO, NO_SAMPLES, UNEVEN = range(6)


class RowChanges(NamedTuple):
    """The change of each row of a block.

    Attributes
    ----------
    w_change_m : w_new − w_old in the Measurement Set's sense (antenna 1 − antenna 2), metres, shape (rows,).
    swapped : rows whose antennas are swapped, shape (rows,).
    target : index of each row in the result, shape (rows,).
    """

    w_change_m: NDArray[np.float64]
    swapped: NDArray[np.bool_]
    target: NDArray[np.int64]


class Axes(NamedTuple):
    """The order of the file's channels and correlations.

    Attributes
    ----------
    first_hz, step_hz : frequency of the first channel and the step to the next, negative when they descend.
    source : for each correlation of the result the file's, in an unswapped and in a swapped row,
        shape (2, correlations).
    """

    first_hz: float
    step_hz: float
    source: NDArray[np.int64]


class Sums(NamedTuple):
    """Sums over the channels of a row, shape (rows, correlations).

    Attributes
    ----------
    samples : sum of nsamples over the unflagged channels.
    good : number of unflagged channels.
    """

    samples: NDArray[np.float32]
    good: NDArray[np.int32]


class MSBlock(NamedTuple):
    """Cells of a Measurement Set, shape (rows, channels, correlations); `weights` has 0 rows when not needed."""

    data: NDArray[np.complex64]
    flags: NDArray[np.bool_]
    weights: NDArray[np.float32]


@numba.njit(nogil=True, cache=True)
def _phase_factors(w_change_m: float, axes: Axes, out: NDArray[np.complex64]) -> None:
    """exp(−2πi f w_change/c) of each channel, by doubling: no factor depends on the one before it."""
    factors = np.empty(out.size, dtype=np.complex128)
    factors[0] = np.exp(-1j * _RAD_PER_M_HZ * w_change_m * axes.first_hz)
    step = np.exp(-1j * _RAD_PER_M_HZ * w_change_m * axes.step_hz)
    done = 1
    while done < out.size:
        for channel in range(min(done, out.size - done)):
            factors[done + channel] = factors[channel] * step
        step *= step
        done *= 2
    out[:] = factors


@numba.njit(nogil=True, cache=True)
def _uniform_samples(flags: Chunks, nsamples: Chunks, rows: int) -> NDArray[np.float32]:
    """The number of samples of each row where all its values have the same and none is flagged; else 0.

    Decided by row chunk, in one pass over the memory, and the same for all rows of a chunk.
    """
    of_chunks = np.empty(nsamples.starts.shape[0], dtype=np.float32)
    for chunk in range(of_chunks.size):
        of_chunks[chunk] = _uniform_value(nsamples, chunk)
    unflagged = np.empty(flags.starts.shape[0], dtype=np.bool_)
    for chunk in range(unflagged.size):
        unflagged[chunk] = _is_unflagged(flags, chunk)
    uniform = np.empty(rows, dtype=np.float32)
    for row in range(rows):
        samples = of_chunks[(row + nsamples.skipped) // nsamples.rows]
        uniform[row] = samples if unflagged[(row + flags.skipped) // flags.rows] else np.float32(0.0)
    return uniform


@numba.njit(nogil=True, cache=True)
def _uniform_value(chunks: Chunks, row_chunk: int) -> np.float32:
    """The positive, finite value that all values of a row of chunks have; else 0."""
    first = chunks.values[chunks.starts[row_chunk, 0, 0]]
    different = 0
    for start in chunks.starts[row_chunk].flat:
        values = chunks.values[start : start + chunks.rows * chunks.channels * chunks.correlations]
        for i in range(values.size):  # the compiler vectorises loops by index only
            different += values[i] != first
    usable = first > np.float32(0.0) and first < np.float32(MAX_VISIBILITY)
    return first if usable and different == 0 else np.float32(0.0)


@numba.njit(nogil=True, cache=True)
def _is_unflagged(chunks: Chunks, row_chunk: int) -> bool:
    count = 0
    for start in chunks.starts[row_chunk].flat:
        values = chunks.values[start : start + chunks.rows * chunks.channels * chunks.correlations]
        for i in range(values.size):
            count += values[i]
    return count == 0


@numba.njit(nogil=True, cache=True)
def _gather_row(chunks: Chunks, row: int, out: NDArray[np.float32]) -> None:
    """Copy one row out of its chunks into an array of shape (correlations, channels)."""
    correlations, channels = out.shape
    inside, stride = row + chunks.skipped, chunks.correlations
    line = (inside % chunks.rows) * chunks.channels * stride
    for correlation in range(correlations):
        for j in range(chunks.starts.shape[1]):
            start = chunks.starts[inside // chunks.rows, j, correlation // stride] + line + correlation % stride
            first = j * chunks.channels
            for c in range(min(chunks.channels, channels - first)):
                out[correlation, first + c] = chunks.values[start + c * stride]


@numba.njit(nogil=True, cache=True)
def _all_usable(values: NDArray[np.complex64]) -> bool:
    unusable = 0
    for correlation in range(values.shape[0]):
        for channel in range(values.shape[1]):
            size = abs(values[correlation, channel].real) + abs(values[correlation, channel].imag)
            unusable += not ((size < np.float32(MAX_VISIBILITY)) & (size > np.float32(0.0)))
    return unusable == 0


@numba.njit(nogil=True, cache=True)
def _rotate_usable_row(
    values: NDArray[np.complex64], swapped: bool, source: NDArray[np.int64], factors: NDArray[np.complex64],
    target: int, out: NDArray[np.complex64],
) -> None:  # fmt: skip
    """Rotate one gathered row of usable values in place and copy it to its target row."""
    for correlation in range(values.shape[0]):
        if swapped:
            for channel in range(factors.size):
                values[correlation, channel] *= factors[channel]
        else:
            for channel in range(factors.size):
                values[correlation, channel] = np.conj(values[correlation, channel]) * factors[channel]
    for channel in range(factors.size):
        for correlation in range(values.shape[0]):
            out[target, channel, correlation] = values[source[correlation], channel]


@numba.njit(nogil=True, cache=True)
def _flag_reason(in_file: bool, size: float) -> int:
    if in_file:
        return IN_FILE
    if not (size < MAX_VISIBILITY):
        return TOO_LARGE if size == size else NOT_A_NUMBER
    return ZERO if size == 0.0 else NO_SAMPLES


@numba.njit(nogil=True, cache=True)
def _rotate_checked_row(
    file_flags: NDArray[np.bool_], values: NDArray[np.complex64], weights: NDArray[np.float32], swapped: bool,
    axes: Axes, factors: NDArray[np.complex64], target: int, sums: Sums, out: MSBlock, counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Rotate one gathered row and check each value; arrays of shape (correlations, channels)."""
    for correlation in range(out.data.shape[2]):
        source = axes.source[1 if swapped else 0, correlation]
        samples, good = sums.samples[target, correlation], sums.good[target, correlation]
        for channel in range(factors.size):
            value, weight = values[source, channel], weights[source, channel]
            size = abs(value.real) + abs(value.imag)
            usable = weight > np.float32(0.0) and weight < np.float32(MAX_VISIBILITY)
            bad = file_flags[source, channel] or not (size < MAX_VISIBILITY) or size == 0.0 or not usable
            rotated = np.complex64(value if swapped else np.conj(value)) * factors[channel]
            out.data[target, channel, correlation] = rotated if size < MAX_VISIBILITY else np.complex64(0.0)
            out.flags[target, channel, correlation] = bad
            if out.weights.shape[0]:
                out.weights[target, channel, correlation] = weight if usable else np.float32(0.0)
            if bad:
                counts[_flag_reason(file_flags[source, channel], size)] += 1
                continue
            if good > 0 and abs(samples - good * weight) > 1e-4 * samples:
                counts[UNEVEN] += 1
            samples += weight
            good += 1
        sums.samples[target, correlation], sums.good[target, correlation] = samples, good


@numba.njit(nogil=True, cache=True)
def _rotate_all_rows(
    visibilities: Chunks, flags: Chunks, nsamples: Chunks, changes: RowChanges, axes: Axes, sums: Sums, out: MSBlock,
    counts: NDArray[np.int64],
) -> None:  # fmt: skip
    """Rotate every row of the block and add to `counts`. Channels of `out` are in the order of the file."""
    channels, correlations = out.data.shape[1], out.data.shape[2]
    values = np.empty((correlations, channels), dtype=np.complex64)
    file_flags = np.empty((correlations, channels), dtype=np.bool_)
    weights = np.empty((correlations, channels), dtype=np.float32)
    factors = np.empty(channels, dtype=np.complex64)
    uniform = _uniform_samples(flags, nsamples, changes.target.size)
    for row in range(changes.target.size):
        _phase_factors(changes.w_change_m[row], axes, factors)
        target, swapped = changes.target[row], changes.swapped[row]
        _gather_row(visibilities, row, values)
        if uniform[row] > 0 and _all_usable(values):
            _rotate_usable_row(values, swapped, axes.source[1 if swapped else 0], factors, target, out.data)
            if out.weights.shape[0]:
                out.weights[target] = uniform[row]
            for correlation in range(correlations):
                sums.samples[target, correlation] += uniform[row] * channels
                sums.good[target, correlation] += channels
            continue
        _gather_row(flags, row, file_flags)
        _gather_row(nsamples, row, weights)
        _rotate_checked_row(file_flags, values, weights, swapped, axes, factors, target, sums, out, counts)


def rotate_block(
    visibilities: Chunks, flags: Chunks, nsamples: Chunks, changes: RowChanges, axes: Axes, sums: Sums, out: MSBlock
) -> NDArray[np.int64]:
    """Rotate one block of one subband into the Measurement Set's order; threads may call it at the same time.

    Values are flagged that the file flags, that are not finite, larger than 1e12 or exactly zero, and those without a
    positive, finite number of samples; values that are not finite or too large are stored as zero.

    Parameters
    ----------
    visibilities, flags, nsamples : in the order of the file.
    changes : of each row, in file order.
    axes : of the file.
    sums : this block's are added; rows as in `out`.
    out : to fill, shape (rows, channels, correlations), channels ascending; its flags have to be False.

    Returns
    -------
    numbers of flagged values by reason, shape (6,), indexed by IN_FILE, NOT_A_NUMBER, TOO_LARGE, ZERO, NO_SAMPLES;
    and by UNEVEN the number of unflagged values whose nsamples differ from those before them in the same row.
    """
    counts = np.zeros(6, dtype=np.int64)
    if axes.step_hz < 0:  # the Measurement Set's channels ascend
        out = MSBlock(out.data[:, ::-1], out.flags[:, ::-1], out.weights[:, ::-1])
    _rotate_all_rows(visibilities, flags, nsamples, changes, axes, sums, out, counts)
    return counts
