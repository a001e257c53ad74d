"""Antenna gains by alternating least squares (StEFCal), with weights, outlier clipping and errors.

For V12 = g1 M12 conj(g2) with all gains but one held, the least-squares estimate of that one is linear:
g1 = sum_2(w V12 conj(M12) g2) / sum_2(w |M12|^2 |g2|^2). All antennas are updated at once, and every second step is
averaged with the one before, without which the iteration oscillates (Salvini & Wijnholds 2014, A&A 571, A97,
algorithm 1; the update of one antenna is that of Mitchell et al. 2008, IEEE JSTSP 2, 707). Phase-only gains are the
update divided by its modulus.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from contimg.formats.arrays import Mask

MIN_BASELINES = 4  # of an antenna with a solution, as in CASA
MIN_KEPT = 0.5  # of an antenna's samples that a solution rests on, after clipping
MAX_ITERATIONS = 200
MAX_SNR = 1e7
_TOLERANCE = 1e-6  # relative change of the gains in a step at which the iteration ends
_CONVERGED = 1e-3  # and with which its result is still a solution after the last step
_CLIP = 5.0  # of the complex rms: Gaussian noise exceeds it once in 7e10 samples
_MAX_CLIPPINGS = 4
_ROUNDING = 1e-5  # of the model: residuals below are not clipped
_START_STEPS = 5
_RAYLEIGH_MEDIAN = float(np.sqrt(np.log(2.0)))  # of the modulus of complex noise of unit rms
_FAST = {"reassoc", "contract", "arcp", "nsz"}
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Gains = NDArray[np.complex128]
Slots = NDArray[np.int64]


@dataclass(frozen=True)
class GainSolutions:
    """Gains of a batch of independent problems, such as channels or intervals.

    Attributes
    ----------
    gains : shape (batch, antennas); 1 where `flagged`.
    snr : |g| over the error of its real part, shape (batch, antennas); 0 where `flagged`. 1/snr is the error of the
        phase in radians. The errors follow from the scatter of the residuals, so the scale of the weights is free.
    chi2 : chi squared per degree of freedom, shape (batch,), 1 where the weights are the inverse variance of the real
        and of the imaginary part; NaN without any solution.
    flagged : where there is no solution, shape (batch, antennas): fewer than MIN_BASELINES baselines to antennas with
        a solution, more than half of its samples clipped, or no convergence.
    iterations : number of steps, shape (batch,).
    """

    gains: Gains
    snr: Floats
    chi2: Floats
    flagged: Mask
    iterations: NDArray[np.int64]


def solve_gains(
    visibilities: NDArray[np.complexfloating], model: ArrayLike, weights: ArrayLike, antenna1: ArrayLike,
    antenna2: ArrayLike, n_antennas: int, *, phase_only: bool = False, reference_antenna: int | None = None,
    robust: bool = True,
) -> GainSolutions:  # fmt: skip
    """Solve the gains g of V12 = g1 M12 conj(g2).

    Parameters
    ----------
    visibilities : shape (batch, baselines). Samples of the same baseline are added.
    model : complex, broadcast to the shape of `visibilities`; 1 for data that were divided by their model.
    weights : inverse variances up to a common factor, broadcast to the same shape; 0 for flagged samples. Samples that
        are not finite, and autocorrelations, do not count.
    antenna1, antenna2 : slots of the antennas of each baseline, shape (baselines,).
    n_antennas : number of slots.
    phase_only : gains of amplitude 1.
    reference_antenna : slot whose phase is 0; where it has no solution, and when not given, the antenna with the
        largest sum of weights.
    robust : leave samples out whose residual is above 5 times the rms of the residuals, and solve again.

    Returns
    -------
    The solutions of each problem.
    """
    data = np.ascontiguousarray(visibilities, dtype=np.complex64)
    rows = _broadcast_rows(weights, data.shape[1], np.float32)
    slots1, slots2 = np.asarray(antenna1, dtype=np.int64), np.asarray(antenna2, dtype=np.int64)
    has_weight = (rows > 0).any(axis=0)
    live = np.unique(np.concatenate([slots1[has_weight], slots2[has_weight]]))
    # The work grows with the square of the number of antennas: those without any weight share the last index.
    index = np.full(n_antennas, live.size)
    index[live] = np.arange(live.size)
    reference = -1 if reference_antenna is None or index[reference_antenna] == live.size else index[reference_antenna]
    gains, snr, chi2, flagged, iterations = _solve_batch(
        data, _broadcast_rows(model, data.shape[1], np.complex64), rows, index[slots1], index[slots2], live.size + 1,
        phase_only, int(reference), robust,
    )  # fmt: skip
    # The last index has no solution: gain 1, signal to noise 0, flagged.
    return GainSolutions(gains[:, index], snr[:, index], chi2, flagged[:, index], iterations)


def _broadcast_rows(values: ArrayLike, baselines: int, dtype: type) -> NDArray[Any]:
    """Give values as (batch or 1, baselines)."""
    rows: NDArray[Any] = np.atleast_2d(np.asarray(values, dtype=dtype))
    return np.ascontiguousarray(np.broadcast_to(rows, (len(rows), baselines)))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _solve_batch(
    visibilities: NDArray[np.complex64], model: NDArray[np.complex64], weights: Singles, antenna1: Slots,
    antenna2: Slots, antennas: int, phase_only: bool, reference: int, robust: bool,
) -> tuple[Gains, Floats, Floats, Mask, NDArray[np.int64]]:  # fmt: skip
    """Solve each problem; `model` and `weights` have the batch axis of `visibilities`, or one of length 1.

    Loops in place of array expressions here and below: they compile in a third of the time.
    """
    batch = len(visibilities)
    gains, snr = np.ones((batch, antennas), dtype=np.complex128), np.zeros((batch, antennas))
    chi2, flagged = np.full(batch, np.nan), np.ones((batch, antennas), dtype=np.bool_)
    iterations = np.zeros(batch, dtype=np.int64)
    squared = np.zeros(antennas)
    for index in range(batch):
        data, predicted = visibilities[index], model[index % len(model)]
        weight = _find_weights(data, predicted, weights[index % len(weights)], antenna1, antenna2)
        offered = _sum_by_antenna(weight, antenna1, antenna2, antennas)
        solved, power, live, iterations[index] = _solve_robustly(
            data, predicted, weight, antenna1, antenna2, antennas, phase_only, robust
        )
        kept_weight = _sum_by_antenna(weight, antenna1, antenna2, antennas)
        substitute, largest = reference, 0.0
        for antenna in range(antennas):
            squared[antenna] = solved[antenna].real ** 2 + solved[antenna].imag ** 2
            if live[antenna] and kept_weight[antenna] >= MIN_KEPT * offered[antenna] and squared[antenna] > 0:
                flagged[index, antenna] = False
        for antenna in range(antennas):
            is_lacking = reference < 0 or flagged[index, reference]
            if is_lacking and not flagged[index, antenna] and kept_weight[antenna] > largest:
                substitute, largest = antenna, kept_weight[antenna]
        if substitute < 0 or flagged[index, substitute]:
            continue
        chi2[index] = _measure_chi2(data, predicted, weight, antenna1, antenna2, solved, live, phase_only)
        turn = solved[substitute].conjugate() / np.sqrt(squared[substitute])
        for antenna in range(antennas):
            if not flagged[index, antenna]:
                gains[index, antenna] = solved[antenna] * turn
                information = squared[antenna] * _dot(power[antenna], squared)
                snr[index, antenna] = min(np.sqrt(information / max(chi2[index], 1e-30)), MAX_SNR)
    return gains, snr, chi2, flagged, iterations


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _find_weights(
    data: NDArray[np.complex64], model: NDArray[np.complex64], weights: Singles, antenna1: Slots, antenna2: Slots
) -> Floats:  # fmt: skip
    """Give the weight of each sample, 0 for the unusable ones."""
    weight = np.zeros(data.size)
    for baseline in range(data.size):
        value, predicted = data[baseline], model[baseline]
        power = predicted.real**2 + predicted.imag**2
        is_usable = np.isfinite(value.real) and np.isfinite(value.imag) and 0 < power < np.inf
        if is_usable and antenna1[baseline] != antenna2[baseline] and weights[baseline] > 0:
            weight[baseline] = weights[baseline]
    return weight


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _solve_robustly(
    data: NDArray[np.complex64], model: NDArray[np.complex64], weight: Floats, antenna1: Slots, antenna2: Slots,
    antennas: int, phase_only: bool, robust: bool,
) -> tuple[Gains, Floats, Mask, int]:  # fmt: skip
    """Solve a problem, and again without outliers, whose weight is set to 0.

    Gives the gains, the sums of w |M|^2 of each pair, which antennas have a solution, and the number of steps.
    """
    gains = np.zeros(antennas, dtype=np.complex128)
    x, y, total_steps, has_converged = np.zeros(antennas), np.zeros(antennas), 0, False
    for clipping in range(_MAX_CLIPPINGS + 1):
        live = _find_live_antennas(weight, antenna1, antenna2, antennas)
        real, imaginary, power = _sum_products(data, model, weight, antenna1, antenna2, live)
        if not live.any():
            break
        if not has_converged:
            x, y = _start_gains(real, imaginary, power, live, phase_only)
        steps, has_converged = _iterate(real, imaginary, power, live, x, y, phase_only)
        total_steps += steps
        for antenna in range(antennas):
            gains[antenna] = complex(x[antenna], y[antenna]) if live[antenna] else 0j
        is_last = not robust or clipping == _MAX_CLIPPINGS
        if is_last or not _clip(data, model, weight, antenna1, antenna2, gains):
            if not has_converged:
                live[:] = False
            break
    return gains, power, live, total_steps


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _sum_by_antenna(weight: Floats, antenna1: Slots, antenna2: Slots, antennas: int) -> Floats:
    total = np.zeros(antennas)
    for baseline in range(weight.size):
        total[antenna1[baseline]] += weight[baseline]
        total[antenna2[baseline]] += weight[baseline]
    return total


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _find_live_antennas(weight: Floats, antenna1: Slots, antenna2: Slots, antennas: int) -> Mask:
    """Find the antennas with MIN_BASELINES partners among themselves."""
    connected = np.zeros((antennas, antennas), dtype=np.bool_)
    for baseline in range(weight.size):
        if weight[baseline] > 0:
            connected[antenna1[baseline], antenna2[baseline]] = True
            connected[antenna2[baseline], antenna1[baseline]] = True
    live = np.ones(antennas, dtype=np.bool_)
    is_changed = True
    while is_changed:
        is_changed = False
        for antenna in range(antennas):
            partners = 0
            for partner in range(antennas):
                partners += connected[antenna, partner] and live[partner]
            if live[antenna] and partners < MIN_BASELINES:
                live[antenna] = False
                is_changed = True
    return live


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _sum_products(
    data: NDArray[np.complex64], model: NDArray[np.complex64], weight: Floats, antenna1: Slots, antenna2: Slots,
    live: Mask,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Sum w V M* (real and imaginary parts) and w |M|^2 into arrays of shape (antennas, antennas), V21 = V12*."""
    antennas = live.size
    real, imaginary = np.zeros((antennas, antennas)), np.zeros((antennas, antennas))
    power = np.zeros((antennas, antennas))
    for baseline in range(weight.size):
        i, j = antenna1[baseline], antenna2[baseline]
        if weight[baseline] > 0 and live[i] and live[j]:
            product = weight[baseline] * complex(data[baseline]) * complex(model[baseline]).conjugate()
            real[i, j] += product.real
            real[j, i] += product.real
            imaginary[i, j] += product.imag
            imaginary[j, i] -= product.imag
            squared = weight[baseline] * (model[baseline].real ** 2 + model[baseline].imag ** 2)
            power[i, j] += squared
            power[j, i] += squared
    return real, imaginary, power


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _start_gains(real: Floats, imaginary: Floats, power: Floats, live: Mask, phase_only: bool) -> tuple[Floats, Floats]:
    """Give starting values: phases against the antenna with the strongest products, refined by power iteration."""
    antennas = live.size
    strongest, largest, total_power = 0, -1.0, 0.0
    for antenna in range(antennas):
        strength = 0.0
        for partner in range(antennas):
            strength += real[antenna, partner] ** 2 + imaginary[antenna, partner] ** 2
            total_power += power[antenna, partner]
        if strength > largest:
            strongest, largest = antenna, strength
    x, y = np.zeros(antennas), np.zeros(antennas)
    new_x, new_y = np.zeros(antennas), np.zeros(antennas)
    for antenna in range(antennas):
        value_x, value_y = real[antenna, strongest], imaginary[antenna, strongest]
        norm = np.sqrt(value_x**2 + value_y**2)
        if live[antenna]:
            x[antenna], y[antenna] = (value_x / norm, value_y / norm) if norm > 0 else (1.0, 0.0)
    scale = 1.0
    for _ in range(_START_STEPS):
        total = 0.0
        for antenna in range(antennas):
            value_x, value_y = _multiply(real[antenna], imaginary[antenna], x, y)
            total += value_x * x[antenna] + value_y * y[antenna]
            norm = np.sqrt(value_x**2 + value_y**2)
            new_x[antenna], new_y[antenna] = (value_x / norm, value_y / norm) if norm > 0 else (x[antenna], y[antenna])
        x[:] = new_x
        y[:] = new_y
        scale = np.sqrt(max(total, 0.0) / total_power)
    for antenna in range(antennas):
        if scale > 0 and not phase_only:
            x[antenna], y[antenna] = scale * x[antenna], scale * y[antenna]
    return x, y


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator,unused-ignore]
def _multiply(real: Floats, imaginary: Floats, x: Floats, y: Floats) -> tuple[float, float]:
    """Multiply a row of a complex matrix by a complex vector, both as real and imaginary parts."""
    sum_x, sum_y = 0.0, 0.0
    for column in range(x.size):
        sum_x += real[column] * x[column] - imaginary[column] * y[column]
        sum_y += real[column] * y[column] + imaginary[column] * x[column]
    return sum_x, sum_y


@numba.njit(nogil=True, cache=True, fastmath=_FAST)  # type: ignore[untyped-decorator,unused-ignore]
def _dot(first: Floats, second: Floats) -> float:
    total = 0.0
    for column in range(first.size):
        total += first[column] * second[column]
    return total


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _iterate(
    real: Floats, imaginary: Floats, power: Floats, live: Mask, x: Floats, y: Floats, phase_only: bool
) -> tuple[int, bool]:  # fmt: skip
    """Iterate the gains x + iy in place; give the number of steps, and whether they converged."""
    new_x, new_y, squared = np.zeros(live.size), np.zeros(live.size), np.zeros(live.size)
    change, size = 0.0, 0.0
    for step in range(1, MAX_ITERATIONS + 1):
        change, size = 0.0, 0.0
        for antenna in range(live.size):
            squared[antenna] = x[antenna] ** 2 + y[antenna] ** 2
        for antenna in range(live.size):
            sum_x, sum_y = _multiply(real[antenna], imaginary[antenna], x, y)
            norm = np.sqrt(sum_x**2 + sum_y**2) if phase_only else _dot(power[antenna], squared)
            if norm <= 0 or not live[antenna]:
                continue
            sum_x, sum_y = sum_x / norm, sum_y / norm
            if step % 2 == 0:
                sum_x, sum_y = 0.5 * (sum_x + x[antenna]), 0.5 * (sum_y + y[antenna])
                norm = np.sqrt(sum_x**2 + sum_y**2) if phase_only else 1.0
                sum_x, sum_y = sum_x / max(norm, 1e-30), sum_y / max(norm, 1e-30)
            new_x[antenna], new_y[antenna] = sum_x, sum_y
            change += (sum_x - x[antenna]) ** 2 + (sum_y - y[antenna]) ** 2
            size += sum_x**2 + sum_y**2
        for antenna in range(live.size):
            x[antenna], y[antenna] = new_x[antenna], new_y[antenna]
        if step % 2 == 0 and change <= _TOLERANCE**2 * size:
            return step, size > 0
    return MAX_ITERATIONS, change <= _CONVERGED**2 * size


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _clip(
    data: NDArray[np.complex64], model: NDArray[np.complex64], weight: Floats, antenna1: Slots, antenna2: Slots,
    gains: Gains,
) -> bool:  # fmt: skip
    """Set the weight of outliers to 0, in place; give whether there was any. All numbers are squares."""
    residuals, ordered, count = np.zeros(weight.size), np.zeros(weight.size), 0
    for baseline in range(weight.size):
        if weight[baseline] > 0:
            predicted = gains[antenna1[baseline]] * gains[antenna2[baseline]].conjugate() * model[baseline]
            residual, power = data[baseline] - predicted, predicted.real**2 + predicted.imag**2
            if power > 0:
                squared = residual.real**2 + residual.imag**2
                ordered[count] = weight[baseline] * squared
                residuals[baseline] = ordered[count] if squared > _ROUNDING**2 * power else 0.0
                count += 1
    if count < 2 * MIN_BASELINES:
        return False
    limit = (_CLIP / _RAYLEIGH_MEDIAN) ** 2 * _select(ordered, count, count // 2)
    is_any = False
    for baseline in range(weight.size):
        if residuals[baseline] > limit:
            weight[baseline] = 0.0
            is_any = True
    return is_any


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _select(values: Floats, count: int, rank: int) -> float:
    """Give the value of a rank among the first `count` ones, which are reordered (Hoare's quickselect)."""
    low, high = 0, count - 1
    while low < high:
        pivot, left, right = values[(low + high) // 2], low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left, right = left + 1, right - 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break
    return float(values[rank])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _measure_chi2(
    data: NDArray[np.complex64], model: NDArray[np.complex64], weight: Floats, antenna1: Slots, antenna2: Slots,
    gains: Gains, live: Mask, phase_only: bool,
) -> float:  # fmt: skip
    """Measure chi squared per degree of freedom; a complex sample has two."""
    total, samples, parameters = 0.0, 0, -1
    for antenna in range(live.size):
        parameters += (1 if phase_only else 2) if live[antenna] else 0
    for baseline in range(weight.size):
        i, j = antenna1[baseline], antenna2[baseline]
        if weight[baseline] > 0 and live[i] and live[j]:
            residual = data[baseline] - gains[i] * model[baseline] * gains[j].conjugate()
            total += weight[baseline] * (residual.real**2 + residual.imag**2)
            samples += 1
    freedom = 2 * samples - parameters
    return total / freedom if freedom > 0 else np.nan
