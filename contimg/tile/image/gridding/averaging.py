"""How far samples may be averaged before the sources at an image's edge smear, and the averaging.

A source in the direction (l, m) turns by (u l + v m) Δν / c over a channel and by (u' l + v' m) Δt / λ over an
integration; a turn of x costs (π x)² / 6 of its flux (Bridle & Schwab, in Synthesis Imaging II, ch. 18). u' and v' are
those of the turning Earth (Thompson, Moran & Swenson, 3rd ed., sec. 4.1).

Long baselines pay for it, most samples are of short ones: so each baseline is averaged in time where that saves the
most samples for the flux that it costs.
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.visibilities import Rows, Visibilities

EARTH_RAD_S = 7.292115e-5
_DIRECTIONS = np.linspace(0, np.pi, 8, endpoint=False)
_SAMPLE = 8192  # rows that tell about all
_HALVINGS = 40
_PRICES = 1e-6, 1e12  # of flux, in samples: nothing is averaged at the highest


@dataclass(frozen=True)
class Averaging:
    """What may be averaged.

    Attributes
    ----------
    channels : native channels into one, a divisor of their number.
    spans : for each of the chosen rows a number: rows of the same number belong to one baseline and may be averaged.
    loss : the flux that this costs a source at the image's edge, as a fraction.
    """

    channels: int
    spans: NDArray[np.int64]
    loss: float


@dataclass(frozen=True)
class _Costs:
    """What smearing costs a source at the edge, in each direction, for each row by its weight in the image.

    Shape (directions, rows); times n² - 1 for n channels or integrations into one.
    """

    channel: NDArray[np.float64]
    time: NDArray[np.float64]

    def of(self, part: slice) -> "_Costs":
        return _Costs(self.channel[:, part], self.time[:, part])

    def loss(self, channels: int, integrations: NDArray[np.int64]) -> float:
        """The loss of flux, in the direction where it is worst."""
        lost = self.channel * (channels**2 - 1) + self.time * (np.square(integrations) - 1)
        return float(lost.mean(axis=1).max())


def plan(
    description: MSInfo, rows: Rows, weights: NDArray[np.float32], edge_rad: float, limit: float, channels: int = 0
) -> Averaging:
    """The most averaging that costs a source at `edge_rad` no more than `limit`, a fraction, of its flux.

    Channels are averaged alike for all baselines. `weights` are the rows' in the image, as far as they are known before
    the data are read, shape (rows,); `channels` above 0 prescribes their number.
    """
    used = np.flatnonzero(weights)
    if not used.size:
        return Averaging(max(channels, 1), np.arange(weights.size), 0.0)
    costs = _costs(description, rows.uvw_m[used], weights[used], edge_rad)
    count, most = description.freqs_hz.size, description.times_mjd_s.size
    width, integrations, least = max(channels, 1), np.ones(used.size, dtype=np.int64), np.inf
    sample = costs.of(slice(None, None, max(1, used.size // _SAMPLE)))
    for tried in [channels] if channels else [number for number in range(1, count + 1) if count % number == 0]:
        if sample.loss(tried, np.ones(sample.time.shape[1], dtype=np.int64)) > limit:
            break
        found = _integrations(costs.time, most, _price(sample, tried, most, limit))
        samples = float(np.sum(1 / (tried * found)))
        if samples < least:
            width, integrations, least = tried, found, samples
    every = np.ones(weights.size, dtype=np.int64)
    every[used] = integrations
    return Averaging(width, _spans(description, rows, every), costs.loss(width, integrations))


def _costs(description: MSInfo, uvw_m: NDArray[np.float64], weights: NDArray[np.float32], edge_rad: float) -> _Costs:
    u, v, w = uvw_m.T
    declination = float(description.phase_centre_rad[1])
    u_rate = EARTH_RAD_S * (w * np.cos(declination) - v * np.sin(declination))
    v_rate = EARTH_RAD_S * u * np.sin(declination)
    l, m = edge_rad * np.cos(_DIRECTIONS)[:, None], edge_rad * np.sin(_DIRECTIONS)[:, None]  # noqa: E741
    channel_turns = (u * l + v * m) * description.channel_width_hz / C_M_S
    time_turns = (u_rate * l + v_rate * m) * _step_s(description) * description.freqs_hz.max() / C_M_S
    share = weights.astype(np.float64) / max(float(weights.mean(dtype=np.float64)), 1e-30)
    return _Costs(share * np.square(np.pi * channel_turns) / 6, share * np.square(np.pi * time_turns) / 6)


def _step_s(description: MSInfo) -> float:
    """Seconds from one integration to the next; more than its length where some are left out between them."""
    times = description.times_mjd_s
    return float(np.median(np.diff(times))) if times.size > 1 else description.integration_s


def _price(costs: _Costs, channels: int, most: int, limit: float) -> float:
    """The price of flux, in samples of one row, at which what is bought costs no more than the limit."""
    low, high = np.log(_PRICES)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        affordable = costs.loss(channels, _integrations(costs.time, most, float(np.exp(middle)))) <= limit
        low, high = (low, middle) if affordable else (middle, high)
    return float(np.exp(high))


def _integrations(of_time: NDArray[np.float64], most: int, price: float) -> NDArray[np.int64]:
    """Integrations into one for each row, n where 1 / n and the price of the flux lost are least together."""
    lost = of_time.mean(axis=0)
    # Where the slopes of 1 / n and of price · lost · n² meet; one below or above it is the best whole number.
    ideal = np.cbrt(1 / np.maximum(2 * price * lost, 1e-30))
    below, above = np.clip(np.floor(ideal), 1, most), np.clip(np.ceil(ideal), 1, most)
    better = 1 / above + price * lost * np.square(above) < 1 / below + price * lost * np.square(below)
    found: NDArray[np.int64] = np.where(better, above, below).astype(np.int64)
    return found


def _spans(description: MSInfo, rows: Rows, integrations: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each row, the same for those of a baseline that are averaged: neighbours in time."""
    since_s = description.times_mjd_s[rows.times] - description.times_mjd_s[0]
    bins = np.floor(since_s / (_step_s(description) * integrations) + 1e-3).astype(np.int64)
    most = int(integrations.max(initial=1))
    keys: NDArray[np.int64] = (rows.baselines * (most + 1) + integrations) * (int(bins.max(initial=0)) + 1) + bins
    return keys


def average_in_time(
    data: Visibilities, weights: NDArray[np.float32], spans: NDArray[np.int64]
) -> tuple[Visibilities, NDArray[np.float32]]:
    """Means of the rows of one span, weighted as in the image, and their weights in the image, shape (spans, channels).

    Rows without weight are left out. Imaging weights are made before this: where samples lie close together is what
    they are made of.
    """
    mine = np.flatnonzero(weights.any(axis=1))
    kept, into = np.unique(spans[mine], return_inverse=True)
    if kept.size == weights.shape[0]:
        return data, weights
    share, shape = np.bincount(into), (kept.size, data.freqs_hz.size)
    stokes_i, total = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
    natural = np.zeros_like(total)
    _accumulate(data.stokes_i, weights, data.weights, mine, into, stokes_i, total, natural)
    uvw = np.stack([np.bincount(into, data.uvw_m[mine, axis]) / share for axis in range(3)], axis=1)
    averaged = replace(
        data,
        uvw_m=np.ascontiguousarray(uvw),
        stokes_i=stokes_i,
        weights=natural,
        row_weights=(np.bincount(into, data.row_weights[mine]) / share).astype(np.float32),
        times=(np.bincount(into, data.times[mine]) / share).astype(np.int64),
    )
    return averaged, total


@numba.njit(cache=True)
def _accumulate(data, weights, natural, mine, into, sums, total, total_natural):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for index in range(into.size):
        row, to = mine[index], into[index]
        for channel in range(data.shape[1]):
            sums[to, channel] += weights[row, channel] * data[row, channel]
            total[to, channel] += weights[row, channel]
            total_natural[to, channel] += natural[row, channel]
    for row in range(total.shape[0]):
        for channel in range(total.shape[1]):
            if total[row, channel] > 0:
                sums[row, channel] /= total[row, channel]
