"""The catalogued sky of a tile: point sources in the primary beam while the pointing drifts.

In the Measurement Set's convention (uvw = position 1 - position 2, V12 = <E1 E2*>) a source of direction cosines
l, m, n relative to the phase centre has V = S A(t, nu) exp(+2 pi i nu/c (u l + v m + w (n - 1))).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.arrays import Data, Mask, Rows
from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.instrument.coordinates import Site, itrf_directions, separation_rad, uvw_axes
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.instrument.time import mjd_s_to_jd

_SAME_SPACING_HZ = 1e-3  # over 10 km and a thousand channels, 2e-4 rad
_BLOCK = 32  # channels
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class SkyModel:
    """Point sources of one tile.

    Attributes
    ----------
    lmn : direction cosines l, m and n - 1, shape (sources, 3).
    apparent_jy : flux after the primary beam, shape (sources, times, channels).
    """

    lmn: Floats
    apparent_jy: Singles


def make_sky_model(ms: MSInfo, sources: Sequence[Calibrator]) -> SkyModel:
    """Make the model of sources over a Measurement Set's times and channels.

    Parameters
    ----------
    ms : metadata of the Measurement Set; the primary beam follows its pointing at each time.
    sources : the catalogued sources to include.
    """
    apparent = np.empty((len(sources), len(ms.times_mjd_s), len(ms.freqs_hz)), dtype=np.float32)
    for index, source in enumerate(sources):
        offset_rad = separation_rad(ms.pointing_rad, (source.ra_rad, source.dec_rad))
        pb = primary_beam(offset_rad[:, None], ms.freqs_hz, ms.dish_diameter_m, ms.mid_mjd)
        apparent[index] = source.flux_jy(ms.freqs_hz) * pb
    return SkyModel(compute_direction_cosines(ms, sources), apparent)


def compute_direction_cosines(ms: MSInfo, sources: Sequence[Calibrator]) -> Floats:
    """Compute l, m and n - 1 of sources for the array in mid-tile, shape (sources, 3).

    They come from observed directions, not from ICRS angles: annual aberration compresses offsets from the phase
    centre by up to 1e-4, 0.2" and a degree of phase on the longest baselines for a source half a degree away.

    Parameters
    ----------
    ms : metadata of the Measurement Set: antenna positions, mid-tile and phase centre.
    sources : their positions (ICRS) are used.
    """
    site = Site.from_itrf(ms.antenna_positions_m[ms.antennas].mean(axis=0))
    middle_jd = np.array([mjd_s_to_jd(ms.mid_mjd_s)])
    axes = uvw_axes(site, middle_jd, *map(float, ms.phase_centre_rad))[0]
    centre = itrf_directions(site, middle_jd, *map(float, ms.phase_centre_rad))[0]
    directions = [itrf_directions(site, middle_jd, source.ra_rad, source.dec_rad)[0] for source in sources]
    return np.asarray((np.array(directions) - centre) @ axes.T)


def accumulate(
    data: Data, flags: Mask, weight: Singles, uvw_m: Floats, times: Rows, cells: Rows, freqs_hz: Floats, lmn: Floats,
    apparent_jy: Singles, products: Data, power: Singles,
) -> None:  # fmt: skip
    """Add w V M* to `products` and w |M|^2 to `power`, for rows with a cell >= 0.

    Parameters
    ----------
    data, flags : shape (rows, channels, correlations).
    weight : shape (rows, correlations).
    uvw_m : shape (rows, 3), metres.
    times : each row's index into the times of `apparent_jy`, shape (rows,).
    cells : each row's index into the sums, shape (rows,).
    freqs_hz : shape (channels,).
    lmn, apparent_jy : the model; see SkyModel.
    products, power : the sums, shape (cells, channels, correlations), C-contiguous, in place.
    """
    rows, channels, _ = data.shape
    _accumulate(
        np.ascontiguousarray(data).view(np.float32).reshape(rows, -1), np.ascontiguousarray(flags).reshape(rows, -1),
        weight, uvw_m, times, cells, freqs_hz, _find_runs(freqs_hz), lmn, apparent_jy,
        products.view(np.float32).reshape(len(products), -1), power.reshape(len(power), -1), channels,
    )  # fmt: skip


def _find_runs(freqs_hz: Floats) -> Rows:
    """Find the first channels of runs with even spacing, and the number of channels, shape (runs + 1,)."""
    spacing_hz = np.diff(freqs_hz)
    starts, channel = [0], 1
    while channel < freqs_hz.size:
        uneven = np.abs(spacing_hz[channel - 1 :] - spacing_hz[channel - 1]) >= _SAME_SPACING_HZ
        channel += int(np.argmax(uneven)) if uneven.any() else uneven.size
        starts.append(channel)
        channel += 1
    return np.array(starts if starts[-1] == freqs_hz.size else [*starts, freqs_hz.size], dtype=np.int64)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def _accumulate(
    data: Singles, flags: Mask, weight: Singles, uvw_m: Floats, times: Rows, cells: Rows, freqs_hz: Floats, runs: Rows,
    lmn: Floats, apparent_jy: Singles, products: Singles, power: Singles, channels: int,
) -> None:  # fmt: skip
    """Add to the sums; real and imaginary parts of complex arrays follow each other in the last axis.

    The loop over samples has neither branches nor calls, so that it compiles to vector instructions.
    """
    real, imaginary = np.zeros(channels, dtype=np.float32), np.zeros(channels, dtype=np.float32)
    correlations = weight.shape[1]
    samples = channels * correlations
    w_real, w_imaginary = np.zeros(samples, dtype=np.float32), np.zeros(samples, dtype=np.float32)
    w_power = np.zeros(samples, dtype=np.float32)
    zero, limit = np.float32(0.0), np.float32(3e38)
    for row in range(data.shape[0]):
        if cells[row] < 0:
            continue
        real[:] = zero
        imaginary[:] = zero
        for source in range(lmn.shape[0]):
            path_m = uvw_m[row, 0] * lmn[source, 0] + uvw_m[row, 1] * lmn[source, 1] + uvw_m[row, 2] * lmn[source, 2]
            _add_source(path_m, freqs_hz, runs, apparent_jy[source, times[row]], real, imaginary)
        for pol in range(correlations):
            w = weight[row, pol]
            for channel in range(channels):
                x, y = real[channel], imaginary[channel]
                w_real[channel * correlations + pol] = w * x
                w_imaginary[channel * correlations + pol] = w * y
                w_power[channel * correlations + pol] = w * (x * x + y * y)
        row_data, row_flags = data[row], flags[row]
        row_products, row_power = products[cells[row]], power[cells[row]]
        for sample in range(samples):
            value_x, value_y = row_data[2 * sample], row_data[2 * sample + 1]
            is_good = (not row_flags[sample]) & (abs(value_x) < limit) & (abs(value_y) < limit)
            value_x, value_y = (value_x, value_y) if is_good else (zero, zero)
            row_products[2 * sample] += value_x * w_real[sample] + value_y * w_imaginary[sample]
            row_products[2 * sample + 1] += value_y * w_real[sample] - value_x * w_imaginary[sample]
            row_power[sample] += w_power[sample] if is_good else zero


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _add_source(
    path_m: float, freqs_hz: Floats, runs: Rows, flux_jy: Singles, real: Singles, imaginary: Singles
) -> None:  # fmt: skip
    """Add a source's fringe to the model of a row.

    Its phasor turns by the same angle from channel to channel in a run of even spacing. There it is the product of
    that of the first channel of a block, by recurrence over the blocks, and of one of the phasors within a block.
    """
    turns_per_hz = 2.0 * np.pi * path_m / C_M_S
    within_x, within_y = np.zeros(_BLOCK, dtype=np.float32), np.zeros(_BLOCK, dtype=np.float32)
    for run in range(runs.size - 1):
        start, stop = runs[run], runs[run + 1]
        x, y = np.cos(turns_per_hz * freqs_hz[start]), np.sin(turns_per_hz * freqs_hz[start])
        spacing_hz = freqs_hz[start + 1] - freqs_hz[start] if stop - start > 1 else 0.0
        step_x, step_y = np.cos(turns_per_hz * spacing_hz), np.sin(turns_per_hz * spacing_hz)
        block_x, block_y = 1.0, 0.0
        for channel in range(_BLOCK):
            within_x[channel], within_y[channel] = block_x, block_y
            block_x, block_y = block_x * step_x - block_y * step_y, block_x * step_y + block_y * step_x
        for first in range(start, stop, _BLOCK):
            first_x, first_y = np.float32(x), np.float32(y)
            for channel in range(min(_BLOCK, stop - first)):
                flux = flux_jy[first + channel]
                real[first + channel] += flux * (first_x * within_x[channel] - first_y * within_y[channel])
                imaginary[first + channel] += flux * (first_x * within_y[channel] + first_y * within_x[channel])
            x, y = x * block_x - y * block_y, x * block_y + y * block_x
