"""One pass over a tile: its visibilities, calibrated and averaged in frequency, times the conjugate of a model.

Antenna gains that are the same over the band need only, of each baseline and integration, the sums of w V M* and of
w |M|^2. The model is smeared as the data are: by averaging over channels and over an integration (Bridle &
Schwab, in Synthesis Imaging II, ch. 18).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data, Mask, Rows, Slots
from contimg.formats.ms.columns import read_blocks
from contimg.formats.ms.info import MSInfo
from contimg.formats.tables import open_table
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.calibrate.sky_gains.field import FieldModel
from contimg.tile.calibrate.sky_gains.prediction import predict_row

BLOCK_BYTES = 64 * 2**20
THREADS = 2
MAX_WIDTH_HZ = 6e6  # of an averaged channel
HALVES = 2  # of the band: every second averaged channel
MAX_KEPT_TIMES = 4  # integrations whose averaged data are kept, for the fluxes of single sources


@dataclass(frozen=True)
class KeptData:
    """Visibilities of some integrations, calibrated with the caltable set and averaged in frequency.

    Attributes
    ----------
    times : index of each integration, shape (kept,).
    visibilities : shape (kept, baselines, channels, receptors).
    weight : the same shape; 0 where flagged.
    uvw_m : shape (kept, baselines, 3).
    """

    times: NDArray[np.int64]
    visibilities: Data
    weight: NDArray[np.float32]
    uvw_m: NDArray[np.float64]


@dataclass(frozen=True)
class BaselineSums:
    """Sums over the channels of each half of the band.

    Attributes
    ----------
    antenna1, antenna2 : slots of each baseline, shape (baselines,).
    products : of w V M*, shape (times, halves, baselines, receptors).
    power : of w |M|^2, the same shape.
    weight : of w over everything.
    kept : data of some integrations.
    """

    antenna1: NDArray[np.int64]
    antenna2: NDArray[np.int64]
    products: NDArray[np.complex128]
    power: NDArray[np.float64]
    weight: float
    kept: KeptData


def split_band(ms: MSInfo) -> NDArray[np.int64]:
    """Return the edges of the averaged channels as indices of native ones, shape (channels + 1,).

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    """
    native = len(ms.freqs_hz)
    width = max(1, min(int(MAX_WIDTH_HZ / ms.channel_width_hz), native // HALVES))
    width = next(number for number in range(width, 0, -1) if native % number == 0)
    return np.arange(0, native + 1, width, dtype=np.int64)


def mean_freqs_hz(ms: MSInfo, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the middle frequencies of averaged channels, shape (channels,).

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    edges : see `split_band`.
    """
    return np.array([ms.freqs_hz[i:j].mean() for i, j in pairwise(edges)])


def channel_turns(ms: MSInfo, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return frequency and width of averaged channels over the speed of light, shape (channels, 2).

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    edges : see `split_band`.
    """
    return np.stack([mean_freqs_hz(ms, edges), np.diff(edges) * ms.channel_width_hz], axis=1) / C_M_S


def sum_products(ms: MSInfo, inverse: Data, edges: NDArray[np.int64], field: FieldModel) -> BaselineSums:
    """Sum the products of a tile's calibrated visibilities and a model of its sky.

    Parameters
    ----------
    ms : metadata of the Measurement Set; its flags are respected.
    inverse : inverse gains of the caltable set, shape (times or 1, slots, channels, receptors).
    edges : see `split_band`.
    field : the model, at the frequencies of the averaged channels.
    """
    slots, times = len(ms.antenna_names), len(ms.times_mjd_s)
    turns = channel_turns(ms, edges)
    kept_times = np.unique(np.linspace(0, times - 1, MAX_KEPT_TIMES).round().astype(np.int64))
    kept_index = np.full(times, -1)
    kept_index[kept_times] = np.arange(kept_times.size)
    declination = float(ms.phase_centre_rad[1])
    receptors = np.ascontiguousarray(ms.receptors[ms.parallel_hands, 0])
    with open_table(ms.path) as main, ThreadPoolExecutor(THREADS) as pool:
        ant1, ant2 = main.getcol("ANTENNA1").astype(np.int64), main.getcol("ANTENNA2").astype(np.int64)
        row_times = np.searchsorted(ms.times_mjd_s, main.getcol("TIME"))
        pairs, baselines = np.unique(ant1 * slots + ant2, return_inverse=True)
        baselines = np.where((ant1 != ant2) & ms.usable_rows, baselines.reshape(-1), -1)
        shape = (times, HALVES, pairs.size, receptors.size)
        products, power = np.zeros(shape, dtype=np.complex128), np.zeros(shape)
        weights = np.zeros(THREADS)
        kept_shape = (kept_times.size, pairs.size, len(edges) - 1, receptors.size)
        kept = KeptData(
            kept_times, np.zeros(kept_shape, dtype=np.complex64), np.zeros(kept_shape, dtype=np.float32),
            np.zeros((*kept_shape[:2], 3)),
        )  # fmt: skip

        def add(part: int, rows: slice, columns: list[NDArray[np.generic]]) -> None:
            _accumulate(
                *columns, baselines[rows], row_times[rows], ant1[rows], ant2[rows], inverse, receptors,
                ms.parallel_hands, edges, turns, ms.integration_s, np.sin(declination), np.cos(declination), field.lmn,
                field.apparent_jy, field.shapes, part, THREADS, products, power, weights, kept_index, kept.visibilities,
                kept.weight, kept.uvw_m,
            )  # fmt: skip

        for rows, columns in read_blocks(main, ("DATA", "FLAG", "WEIGHT", "UVW"), BLOCK_BYTES):
            list(pool.map(lambda part, rows=rows, columns=columns: add(part, rows, columns), range(THREADS)))
    return BaselineSums(pairs // slots, pairs % slots, products, power, float(weights.sum()), kept)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _accumulate(
    data: Data, flags: Mask, weight: NDArray[np.float64], uvw_m: NDArray[np.float64], baselines: Rows, times: Rows,
    ant1: Slots, ant2: Slots, inverse: Data, receptors: Rows, hands: Rows, edges: Rows,
    turns: NDArray[np.float64], integration_s: float, sine: float, cosine: float, lmn: NDArray[np.float64],
    apparent_jy: NDArray[np.float32], shapes: NDArray[np.float64], part: int, parts: int,
    products: NDArray[np.complex128], power: NDArray[np.float64], weights: NDArray[np.float64], kept_index: Rows,
    kept_data: Data, kept_weight: NDArray[np.float32], kept_uvw_m: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the rows of every `parts`-th baseline to the sums, and keep the averaged data of some integrations."""
    channels = edges.size - 1
    model = np.zeros(channels, dtype=np.complex128)
    for row in range(data.shape[0]):
        baseline, time = baselines[row], times[row]
        if baseline < 0 or baseline % parts != part:
            continue
        predict_row(
            uvw_m[row], time, turns, edges[1] - edges[0], integration_s, sine, cosine, lmn, apparent_jy, shapes, model
        )
        gains = inverse[time if inverse.shape[0] > 1 else 0]
        gains1, gains2 = gains[ant1[row]], gains[ant2[row]]
        slot = kept_index[time]
        if slot >= 0:
            kept_uvw_m[slot, baseline] = uvw_m[row]
        for channel in range(channels):
            first, last = edges[channel], edges[channel + 1]
            half = channel % 2
            squared = model[channel].real ** 2 + model[channel].imag ** 2
            for hand in range(hands.size):
                receptor, column = receptors[hand], hands[hand]
                real, imaginary, samples = np.float32(0.0), np.float32(0.0), 0
                for native in range(first, last):
                    if flags[row, native, column]:
                        continue
                    value = data[row, native, column] * gains1[native, receptor] * np.conj(gains2[native, receptor])
                    if np.isfinite(value.real) and np.isfinite(value.imag):
                        real += value.real
                        imaginary += value.imag
                        samples += 1
                if 2 * samples < last - first or samples == 0:
                    continue
                w = weight[row, column]
                products[time, half, baseline, hand] += w * complex(real, imaginary) * np.conj(model[channel])
                power[time, half, baseline, hand] += w * samples * squared
                weights[part] += w * samples
                if slot >= 0:
                    kept_data[slot, baseline, channel, hand] = complex(real, imaginary) / samples
                    kept_weight[slot, baseline, channel, hand] = w * samples
