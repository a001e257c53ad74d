"""The data that gains are solved on: visibilities divided by the model and averaged to about a minute.

For one baseline and interval the least-squares estimate of the antenna-based part G of V = G M is
sum(w V M*) / sum(w |M|^2), with weight sum(w |M|^2). The model of the result is a point of 1 Jy at the phase centre.
Dividing by the model first stops the calibrator's fringes, so that averaging in time loses nothing. The tile is read
once, in blocks, while the last block is added to the sums in another thread; what the checks of the antennas need is
summed in the same pass.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data, Mask, Rows, Slots
from contimg.formats.ms.columns import read_blocks
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.tile.calibrate.solve.antenna_data import AntennaData
from contimg.tile.calibrate.solve.sky_model import SkyModel, accumulate

_BLOCK_BYTES = 64 * 2**20
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Gains = NDArray[np.complex128]


@dataclass(frozen=True)
class SolvingData:
    """A tile's parallel hands over the model, averaged.

    Attributes
    ----------
    times_mjd_s, intervals_s : middle and length of each interval, UTC, shape (intervals,).
    ant1, ant2 : slots of the antennas of each cross-correlation, shape (baselines,).
    uvw_m : mean of each cell's rows, shape (intervals, baselines, 3); 0 without any.
    visibilities : shape (intervals, baselines, channels, hands); 0 without data.
    weights : sums of w |M|^2, the same shape; 0 without data.
    data_fractions : unflagged fraction of each antenna's cross-correlations with live antennas, shape (slots, channels,
        hands); 0 without data.
    total_powers : mean autocorrelation of each antenna, shape (slots,); NaN without one.
    """

    times_mjd_s: Floats
    intervals_s: Floats
    ant1: Slots
    ant2: Slots
    uvw_m: Floats
    visibilities: Data
    weights: Singles
    data_fractions: Floats
    total_powers: Floats


def read_solving_data(
    ms: MSInfo, model: SkyModel, interval_s: float, unflagged: Floats | None = None
) -> SolvingData:  # fmt: skip
    """Read the parallel hands of a tile's cross-correlations, divide them by the model and average them.

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set; its unusable rows are left out.
    model : the sources in it.
    interval_s : averaging time, seconds.
    unflagged : usable fraction of each antenna slot's data, shape (slots,); an antenna with 0 is not live. All are live
        when not given.
    """
    runs = split_intervals(ms, interval_s)
    interval_of_time = np.repeat(np.arange(len(runs)), [run.size for run in runs])
    with open_table(ms.path) as main:
        ant1, ant2, uvw, is_flagged = (main.getcol(name) for name in ("ANTENNA1", "ANTENNA2", "UVW", "FLAG_ROW"))
        weight = ms.select_parallel_hands(main.getcol("WEIGHT")).astype(np.float32)
        times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
        is_used = (ant1 != ant2) & ms.usable_rows
        pairs, index = np.unique(np.stack([ant1, ant2], axis=1)[is_used], axis=0, return_inverse=True)
        cells = np.full(ant1.size, -1, dtype=np.int64)
        cells[is_used] = interval_of_time[times[is_used]] * len(pairs) + index.reshape(-1)
        count = len(runs) * len(pairs)
        shape = (count, len(ms.freqs_hz), ms.parallel_hands.size)
        products, power = np.zeros(shape, dtype=np.complex64), np.zeros(shape, dtype=np.float32)
        is_live = np.ones(len(ms.antenna_names), dtype=bool) if unflagged is None else unflagged > 0
        antennas = AntennaData(is_live, *shape[1:])

        def add(rows: slice, data: Data, flags: Mask) -> None:
            accumulate(
                data, flags, weight[rows], uvw[rows], times[rows], np.where(is_flagged[rows], -1, cells[rows]),
                ms.freqs_hz, model.lmn, model.apparent_jy, products, power,
            )  # fmt: skip
            antennas.add(data, flags, ant1[rows], ant2[rows], is_flagged[rows])

        with ThreadPoolExecutor(1) as pool:
            last: Future[None] | None = None
            for rows, columns in read_blocks(main, ("DATA", "FLAG"), _BLOCK_BYTES, blocks_valid=2):
                data, flags = (ms.select_parallel_hands(values) for values in columns)
                if last is not None:
                    last.result()
                last = pool.submit(add, rows, data, flags)
            if last is not None:
                last.result()
    np.divide(products, power, out=products, where=power > 0)
    rows_of_cells = np.maximum(np.bincount(cells[is_used], minlength=count), 1)
    sums = np.stack([np.bincount(cells[is_used], uvw[is_used, axis], count) for axis in range(3)], axis=1)
    layout = (len(runs), len(pairs))
    return SolvingData(
        times_mjd_s=np.array([ms.times_mjd_s[run].mean() for run in runs]),
        intervals_s=np.array([run.size * ms.integration_s for run in runs]), ant1=pairs[:, 0].astype(np.int32),
        ant2=pairs[:, 1].astype(np.int32), uvw_m=(sums / rows_of_cells[:, None]).reshape(*layout, 3),
        visibilities=products.reshape(*layout, *shape[1:]), weights=power.reshape(*layout, *shape[1:]),
        data_fractions=antennas.fractions, total_powers=antennas.total_powers,
    )  # fmt: skip


def split_intervals(ms: MSInfo, interval_s: float) -> list[Rows]:
    """Split the integrations into equal runs of about `interval_s`, as indices into the times of `ms`.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    interval_s : wanted length of a run, seconds; no run is shorter than an integration.

    Returns
    -------
    The indices of each run, in order of time; lengths of runs differ by one integration at most.
    """
    count = len(ms.times_mjd_s)
    pieces = min(max(1, round(count * ms.integration_s / interval_s)), count)
    return [np.asarray(run, dtype=np.int64) for run in np.array_split(np.arange(count), pieces)]


def average_intervals(data: SolvingData, gains: Gains) -> tuple[Data, Singles]:
    """Average the intervals of each channel, corrected by gains per interval.

    Parameters
    ----------
    data : the data.
    gains : shape (intervals, slots, hands); samples without a gain, which is NaN, are left out.

    Returns
    -------
    Visibilities and weights, shape (channels, hands, baselines).
    """
    shape = (*data.visibilities.shape[2:], data.ant1.size)
    products, power = np.zeros(shape, dtype=np.complex64), np.zeros(shape, dtype=np.float32)
    _sum_intervals(data.visibilities, data.weights, data.ant1, data.ant2, gains, products, power)
    np.divide(products, power, out=products, where=power > 0)
    return products, power


def average_channels(data: SolvingData, bandpass: Gains) -> tuple[Data, Singles]:
    """Average the channels of each interval, corrected by a bandpass.

    Parameters
    ----------
    data : the data.
    bandpass : shape (slots, channels, hands); samples without a gain, which is NaN, are left out.

    Returns
    -------
    Visibilities and weights, shape (intervals, hands, baselines).
    """
    intervals, baselines, _, hands = data.visibilities.shape
    products = np.zeros((intervals, hands, baselines), dtype=np.complex128)
    power = np.zeros(products.shape)
    _sum_channels(data.visibilities, data.weights, data.ant1, data.ant2, bandpass, products, power)
    np.divide(products, power, out=products, where=power > 0)
    return products.astype(np.complex64), power.astype(np.float32)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _sum_intervals(
    visibilities: Data, weights: Singles, ant1: Slots, ant2: Slots, gains: Gains, products: Data, power: Singles
) -> None:  # fmt: skip
    """Add w V G* and w |G|^2 with G = g1 g2* to sums of shape (channels, hands, baselines)."""
    intervals, baselines, channels, hands = visibilities.shape
    sums = np.zeros((channels, hands), dtype=np.complex64)
    sum_weights = np.zeros((channels, hands), dtype=np.float32)
    for baseline in range(baselines):
        sums[:] = 0
        sum_weights[:] = 0
        for interval in range(intervals):
            for hand in range(hands):
                gain = gains[interval, ant1[baseline], hand] * np.conj(gains[interval, ant2[baseline], hand])
                if not (np.isfinite(gain.real) and np.isfinite(gain.imag)):
                    continue
                factor, squared = np.complex64(np.conj(gain)), np.float32(gain.real**2 + gain.imag**2)
                for channel in range(channels):
                    weight = weights[interval, baseline, channel, hand]
                    sums[channel, hand] += weight * visibilities[interval, baseline, channel, hand] * factor
                    sum_weights[channel, hand] += weight * squared
        products[:, :, baseline] = sums
        power[:, :, baseline] = sum_weights


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _sum_channels(
    visibilities: Data, weights: Singles, ant1: Slots, ant2: Slots, bandpass: Gains, products: Gains, power: Floats
) -> None:  # fmt: skip
    """Add w V G* and w |G|^2 with G = g1 g2* to sums of shape (intervals, hands, baselines)."""
    intervals, baselines, channels, hands = visibilities.shape
    for baseline in range(baselines):
        first, second = bandpass[ant1[baseline]], bandpass[ant2[baseline]]
        for channel in range(channels):
            for hand in range(hands):
                gain = first[channel, hand] * np.conj(second[channel, hand])
                if not (np.isfinite(gain.real) and np.isfinite(gain.imag)):
                    continue
                squared = gain.real**2 + gain.imag**2
                for interval in range(intervals):
                    weight = weights[interval, baseline, channel, hand]
                    value = complex(visibilities[interval, baseline, channel, hand])
                    products[interval, hand, baseline] += weight * value * np.conj(gain)
                    power[interval, hand, baseline] += weight * squared
