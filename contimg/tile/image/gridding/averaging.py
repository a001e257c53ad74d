"""Averaging of samples in frequency and time, as far as smearing at the edge of an image allows.

A source in the direction (l, m) turns by (u l + v m) Δν / c over a channel and by (u' l + v' m) Δt / λ over an
integration; a turn of x costs (π x)² / 6 of its flux (Bridle & Schwab, in Synthesis Imaging II, ch. 18). u' and v' are
the rates of the rotating Earth (Thompson, Moran & Swenson, 3rd ed., sec. 4.1).

Smearing grows with baseline length, and most samples are of short baselines: each baseline is averaged in time by the
number of integrations that saves the most samples for the flux lost.
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.modes import compute_uv_rates
from contimg.tile.image.gridding.visibilities import SelectedRows

_DIRECTIONS = np.linspace(0, np.pi, 8, endpoint=False)
_SAMPLED_ROWS = 8192  # rows on which the loss of flux is evaluated while searching
_BISECTIONS = 40
_PRICES = 1e-6, 1e12  # of flux, in samples; at the highest nothing is averaged


@dataclass(frozen=True)
class Averaging:
    """Averaging of a Measurement Set's selected rows.

    Attributes
    ----------
    channels : native channels averaged into one, a divisor of their number.
    time_bins : a number for each row, shape (rows,); rows with the same number are of one baseline and are averaged.
    loss : flux that this costs a source at the image's edge, as a fraction.
    """

    channels: int
    time_bins: NDArray[np.int64]
    loss: float


@dataclass(frozen=True)
class _SmearingCosts:
    """Loss of flux at the image's edge by direction and row, weighted as in the image, shape (directions, rows).

    Averaging n channels or integrations multiplies it by n² - 1.
    """

    channel: NDArray[np.float64]
    time: NDArray[np.float64]

    def every(self, step: int) -> "_SmearingCosts":
        return _SmearingCosts(self.channel[:, ::step], self.time[:, ::step])

    def loss(self, channels: int, integrations: NDArray[np.int64]) -> float:
        """Return the loss of flux, as a fraction, in the direction with the largest loss.

        Parameters
        ----------
        channels : native channels averaged into one.
        integrations : integrations averaged into one, shape (rows,).
        """
        losses = self.channel * (channels**2 - 1) + self.time * (np.square(integrations) - 1)
        return float(losses.mean(axis=1).max())


def plan_averaging(
    ms: MSInfo, rows: SelectedRows, weights: NDArray[np.float32], edge_rad: float, max_loss: float,
    channel_average: int = 0,
) -> Averaging:  # fmt: skip
    """Find the averaging with the fewest samples that costs a source at the edge no more than a fraction of its flux.

    The same number of channels is averaged on all baselines.

    Parameters
    ----------
    ms, rows : the Measurement Set and its selected rows.
    weights : estimated imaging weights of the rows, shape (rows,).
    edge_rad : distance of the image's edge from its centre.
    max_loss : fraction of the flux.
    channel_average : channels to average; 0 chooses them.
    """
    weighted = np.flatnonzero(weights)
    if not weighted.size:
        return Averaging(max(channel_average, 1), np.arange(weights.size), 0.0)
    costs = _compute_costs(ms, rows.uvw_m[weighted], weights[weighted], edge_rad)
    native_channels, max_integrations = ms.freqs_hz.size, ms.times_mjd_s.size
    best, best_integrations, fewest = max(channel_average, 1), np.ones(weighted.size, dtype=np.int64), np.inf
    sample = costs.every(max(1, weighted.size // _SAMPLED_ROWS))
    divisors = [number for number in range(1, native_channels + 1) if native_channels % number == 0]
    for channels in [channel_average] if channel_average else divisors:
        if sample.loss(channels, np.ones(sample.time.shape[1], dtype=np.int64)) > max_loss:
            break
        price = _find_price(sample, channels, max_integrations, max_loss)
        integrations = _choose_integrations(costs.time, max_integrations, price)
        samples = float(np.sum(1 / (channels * integrations)))
        if samples < fewest:
            best, best_integrations, fewest = channels, integrations, samples
    row_integrations = np.ones(weights.size, dtype=np.int64)
    row_integrations[weighted] = best_integrations
    return Averaging(best, _number_time_bins(ms, rows, row_integrations), costs.loss(best, best_integrations))


def _compute_costs(
    ms: MSInfo, uvw_m: NDArray[np.float64], weights: NDArray[np.float32], edge_rad: float
) -> _SmearingCosts:
    u, v, _ = uvw_m.T
    u_rate, v_rate = compute_uv_rates(uvw_m, float(ms.phase_centre_rad[1]))
    l, m = edge_rad * np.cos(_DIRECTIONS)[:, None], edge_rad * np.sin(_DIRECTIONS)[:, None]  # noqa: E741
    channel_turns = (u * l + v * m) * ms.channel_width_hz / C_M_S
    time_turns = (u_rate * l + v_rate * m) * ms.time_step_s * ms.freqs_hz.max() / C_M_S
    relative = weights.astype(np.float64) / max(float(weights.mean(dtype=np.float64)), 1e-30)
    return _SmearingCosts(relative * np.square(np.pi * channel_turns) / 6, relative * np.square(np.pi * time_turns) / 6)


def _find_price(costs: _SmearingCosts, channels: int, max_integrations: int, max_loss: float) -> float:
    """The lowest price of flux, in samples of one row, at which the averaging costs no more than the maximum loss."""
    low, high = np.log(_PRICES)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        integrations = _choose_integrations(costs.time, max_integrations, float(np.exp(middle)))
        low, high = (low, middle) if costs.loss(channels, integrations) <= max_loss else (middle, high)
    return float(np.exp(high))


def _choose_integrations(time_costs: NDArray[np.float64], maximum: int, price: float) -> NDArray[np.int64]:
    """Integrations n to average for each row, so that 1 / n and the price of the lost flux have the smallest sum."""
    loss = time_costs.mean(axis=0)
    # The minimum of 1 / n + price · loss · n² over real n; the best whole number is next to it.
    ideal = np.cbrt(1 / np.maximum(2 * price * loss, 1e-30))
    below, above = np.clip(np.floor(ideal), 1, maximum), np.clip(np.ceil(ideal), 1, maximum)
    better = 1 / above + price * loss * np.square(above) < 1 / below + price * loss * np.square(below)
    integrations: NDArray[np.int64] = np.where(better, above, below).astype(np.int64)
    return integrations


def _number_time_bins(ms: MSInfo, rows: SelectedRows, integrations: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each row, the same for those of a baseline that are averaged: neighbours in time."""
    elapsed_s = ms.times_mjd_s[rows.times] - ms.times_mjd_s[0]
    bins = np.floor(elapsed_s / (ms.time_step_s * integrations) + 1e-3).astype(np.int64)
    maximum = int(integrations.max(initial=1))
    numbers: NDArray[np.int64] = (rows.baselines * (maximum + 1) + integrations) * (int(bins.max(initial=0)) + 1) + bins
    return numbers


def average_in_time(gridder: Gridder, time_bins: NDArray[np.int64]) -> Gridder:
    """Average the rows of each time bin, weighted as in the image; rows without weight are left out.

    Imaging weights are computed before this, because they depend on the density of the samples.

    Parameters
    ----------
    gridder : visibilities with imaging weights.
    time_bins : number of each row's bin, shape (rows,).
    """
    data, weights = gridder.visibilities, gridder.weights
    weighted = np.flatnonzero(weights.any(axis=1))
    bins, targets = np.unique(time_bins[weighted], return_inverse=True)
    if bins.size == weights.shape[0]:
        return gridder
    counts, shape = np.bincount(targets), (bins.size, data.freqs_hz.size)
    stokes_i, total = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
    natural = np.zeros_like(total)
    _accumulate(data.stokes_i, weights, data.weights, weighted, targets, stokes_i, total, natural)
    uvw_m = np.stack([np.bincount(targets, data.uvw_m[weighted, axis]) / counts for axis in range(3)], axis=1)
    averaged = replace(
        data, uvw_m=np.ascontiguousarray(uvw_m), stokes_i=stokes_i, weights=natural,
        row_weights=(np.bincount(targets, data.row_weights[weighted]) / counts).astype(np.float32),
        times=(np.bincount(targets, data.times[weighted]) / counts).astype(np.int64), integrations=counts,
    )  # fmt: skip
    return replace(gridder, visibilities=averaged, weights=total)


@numba.njit(cache=True)
def _accumulate(data, weights, natural, rows, targets, sums, total, total_natural):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for index in range(targets.size):
        row, target = rows[index], targets[index]
        for channel in range(data.shape[1]):
            sums[target, channel] += weights[row, channel] * data[row, channel]
            total[target, channel] += weights[row, channel]
            total_natural[target, channel] += natural[row, channel]
    for target in range(total.shape[0]):
        for channel in range(total.shape[1]):
            if total[target, channel] > 0:
                sums[target, channel] /= total[target, channel]
