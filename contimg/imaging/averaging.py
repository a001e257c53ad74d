"""How far samples may be averaged before the sources at an image's edge smear, and the averaging in time.

A source at distance θ from the phase centre turns by θ B Δν / c over a channel and by at most θ B ω Δt / λ over an
integration; a turn of x costs (π x)² / 6 of its flux (Bridle & Schwab, in Synthesis Imaging II, ch. 18).
"""

from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.imaging.visibilities import Rows, Visibilities
from contimg.measurement_set.description import Description
from contimg.telescope import C_M_S

EARTH_RAD_S = 7.292115e-5


@dataclass(frozen=True)
class Averaging:
    """What may be averaged.

    Attributes
    ----------
    channels : native channels into one, a divisor of their number.
    spans : for each of the chosen rows a number: rows of the same number belong to one baseline and may be averaged.
    loss : the flux that this costs a source at the image's edge on average over baselines, as a fraction.
    """

    channels: int
    spans: NDArray[np.int64]
    loss: float


def plan(
    description: Description, rows: Rows, edge_rad: float, min_uv_lambda: float, limit: float, channels: int = 0
) -> Averaging:
    """The most averaging that costs a source at `edge_rad` no more than `limit`, a fraction, of its flux.

    Channels come first, the same number for all baselines; short baselines are averaged in time, each within what is
    left of the limit. `channels` above 0 prescribes their number.
    """
    lengths = np.hypot(rows.uvw_m[:, 0], rows.uvw_m[:, 1])
    used = lengths[lengths * description.freqs_hz.max() / C_M_S >= min_uv_lambda]
    spread = float(np.mean(np.square(used))) if used.size else 0.0
    per_channel = (np.pi * edge_rad * description.channel_width_hz / C_M_S) ** 2 * spread / 6
    if not channels:
        count = description.freqs_hz.size
        divisors = [number for number in range(1, count + 1) if count % number == 0]
        channels = max((one for one in divisors if per_channel * (one**2 - 1) <= limit), default=1)
    in_channels = per_channel * (channels**2 - 1)
    spans, in_time = _spans(description, rows, lengths, edge_rad, max(0.0, limit - in_channels))
    return Averaging(channels, spans, in_channels + in_time)


def _spans(
    description: Description, rows: Rows, lengths_m: NDArray[np.float64], edge_rad: float, limit: float
) -> tuple[NDArray[np.int64], float]:
    """A number for each row, the same for those of a baseline that may be averaged, and the mean loss by it."""
    wavelengths = lengths_m * description.freqs_hz.max() / C_M_S
    once = np.square(np.pi * edge_rad * wavelengths * EARTH_RAD_S * description.integration_s) / 6
    most = description.times_mjd_s.size
    # once · (n² - 1) is what n integrations cost beyond what one has cost already.
    integrations = np.floor(np.sqrt(1 + limit / np.maximum(once, limit / most**2 + 1e-30))).astype(np.int64)
    since_s = description.times_mjd_s[rows.times] - description.times_mjd_s[0]
    bins = np.floor(since_s / (description.integration_s * integrations) + 1e-3).astype(np.int64)
    keys = (rows.baselines * (most + 1) + integrations) * (int(bins.max(initial=0)) + 1) + bins
    loss = once * (np.square(integrations) - 1)
    return keys, float(loss.mean()) if loss.size else 0.0


def average_in_time(
    data: Visibilities, weights: NDArray[np.float32], spans: NDArray[np.int64]
) -> tuple[Visibilities, NDArray[np.float32]]:
    """Means of the rows of one span, weighted as in the image, and their weights in the image, shape (spans, channels).

    Imaging weights are made before this: where samples lie close together is what they are made of.
    """
    _, first, into = np.unique(spans, return_index=True, return_inverse=True)
    if first.size == spans.size:
        return data, weights
    rows, channels = first.size, data.freqs_hz.size
    stokes_i, total = np.zeros((rows, channels), np.complex64), np.zeros((rows, channels), np.float32)
    natural = np.zeros_like(total)
    _accumulate(data.stokes_i, weights, data.weights, into, stokes_i, total, natural)
    share = np.bincount(into, minlength=rows)
    uvw = np.stack([np.bincount(into, data.uvw_m[:, axis]) / share for axis in range(3)], axis=1)
    averaged = replace(
        data,
        uvw_m=np.ascontiguousarray(uvw),
        stokes_i=stokes_i,
        weights=natural,
        row_weights=(np.bincount(into, data.row_weights) / share).astype(np.float32),
        times=(np.bincount(into, data.times) / share).astype(np.int64),
    )
    return averaged, total


@numba.njit(cache=True)
def _accumulate(data, weights, natural, into, sums, total, total_natural):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for row in range(into.size):
        to = into[row]
        for channel in range(data.shape[1]):
            sums[to, channel] += weights[row, channel] * data[row, channel]
            total[to, channel] += weights[row, channel]
            total_natural[to, channel] += natural[row, channel]
    for row in range(total.shape[0]):
        for channel in range(total.shape[1]):
            if total[row, channel] > 0:
                sums[row, channel] /= total[row, channel]
