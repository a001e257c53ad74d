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


@dataclass(frozen=True)
class SkyModel:
    """Point sources of one tile.

    Attributes
    ----------
    lmn : direction cosines l, m and n - 1, shape (sources, 3).
    apparent_jy : flux after the primary beam, shape (sources, times, channels).
    """

    lmn: NDArray[np.float64]
    apparent_jy: NDArray[np.float32]


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


def compute_direction_cosines(ms: MSInfo, sources: Sequence[Calibrator]) -> NDArray[np.float64]:
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


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def accumulate(
    data: Data, flags: Mask, weight: NDArray[np.float32], uvw_m: NDArray[np.float64], times: Rows, cells: Rows,
    freqs_hz: NDArray[np.float64], lmn: NDArray[np.float64], apparent_jy: NDArray[np.float32], products: Data,
    power: NDArray[np.float32],
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
    products, power : the sums, shape (cells, channels, correlations), in place.
    """
    channels = data.shape[1]
    real, imaginary = np.zeros(channels), np.zeros(channels)
    for row in range(data.shape[0]):
        sum_cell = cells[row]
        if sum_cell < 0:
            continue
        real[:] = 0.0
        imaginary[:] = 0.0
        for source in range(lmn.shape[0]):
            path_m = uvw_m[row, 0] * lmn[source, 0] + uvw_m[row, 1] * lmn[source, 1] + uvw_m[row, 2] * lmn[source, 2]
            _add_source(path_m, freqs_hz, apparent_jy[source, times[row]], real, imaginary)
        for channel in range(channels):
            x, y = np.float32(real[channel]), np.float32(imaginary[channel])
            squared = x * x + y * y
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                if not flags[row, channel, pol] and np.isfinite(value.real) and np.isfinite(value.imag):
                    product = complex(value.real * x + value.imag * y, value.imag * x - value.real * y)
                    products[sum_cell, channel, pol] += weight[row, pol] * product
                    power[sum_cell, channel, pol] += weight[row, pol] * squared


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _add_source(
    path_m: float, freqs_hz: NDArray[np.float64], flux_jy: NDArray[np.float32], real: NDArray[np.float64],
    imaginary: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add a source's fringe to the model of a row.

    Its phasor turns by the same angle from channel to channel where these are evenly spaced, and is computed by
    multiplication there; the error grows by 1e-16 a channel. At a change of the spacing it is computed directly.
    """
    turns_per_hz = 2.0 * np.pi * path_m / C_M_S
    x, y, step_x, step_y, spacing_hz = 1.0, 0.0, 1.0, 0.0, 0.0
    for channel in range(freqs_hz.size):
        difference_hz = freqs_hz[channel] - freqs_hz[channel - 1] if channel else 0.0
        if channel and abs(difference_hz - spacing_hz) < _SAME_SPACING_HZ:
            x, y = x * step_x - y * step_y, x * step_y + y * step_x
        else:
            x, y = np.cos(turns_per_hz * freqs_hz[channel]), np.sin(turns_per_hz * freqs_hz[channel])
            spacing_hz = difference_hz
            step_x, step_y = np.cos(turns_per_hz * spacing_hz), np.sin(turns_per_hz * spacing_hz)
        real[channel] += flux_jy[channel] * x
        imaginary[channel] += flux_jy[channel] * y
