"""The catalogued sky of a tile: point sources seen through the primary beam while the pointing drifts.

In the Measurement Set's convention (uvw = position 1 - position 2, V12 = <E1 E2*>) a source of direction cosines
l, m, n relative to the phase centre has V = S A(t, nu) exp(+2 pi i nu/c (u l + v m + w (n - 1))).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.instrument.coordinates import Site, itrf_directions, separation_rad, uvw_axes
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.instrument.time import mjd_s_to_jd


@dataclass(frozen=True)
class SkyModel:
    """Point sources of one tile.

    Attributes
    ----------
    lmn : direction cosines with n - 1 in the last place, shape (sources, 3).
    apparent_jy : flux after the primary beam, shape (sources, times, channels).
    """

    lmn: NDArray[np.float64]
    apparent_jy: NDArray[np.float32]


def sky_model(tile: MSInfo, sources: Sequence[Calibrator]) -> SkyModel:
    """The model of these sources over a tile's times and channels."""
    apparent = np.empty((len(sources), len(tile.times_mjd_s), len(tile.freqs_hz)), dtype=np.float32)
    for index, source in enumerate(sources):
        away = separation_rad(tile.pointing_rad, (source.ra_rad, source.dec_rad))
        apparent[index] = source.flux_jy(tile.freqs_hz) * primary_beam(away[:, None], tile.freqs_hz)
    return SkyModel(direction_cosines(tile, sources), apparent)


def direction_cosines(tile: MSInfo, sources: Sequence[Calibrator]) -> NDArray[np.float64]:
    """l, m and n - 1 of sources as the array sees them at mid-tile, shape (sources, 3).

    From observed places, not from ICRS angles: annual aberration squeezes offsets from the phase centre by up to
    1e-4, which would leave 0.2" and a degree of phase on the longest baselines for a source half a degree away.
    """
    site = Site.from_itrf(tile.antenna_positions_m[tile.antennas].mean(axis=0))
    middle_jd = np.array([mjd_s_to_jd(tile.mid_mjd_s)])
    axes = uvw_axes(site, middle_jd, *map(float, tile.phase_centre_rad))[0]
    centre = itrf_directions(site, middle_jd, *map(float, tile.phase_centre_rad))[0]
    towards = [itrf_directions(site, middle_jd, one.ra_rad, one.dec_rad)[0] for one in sources]
    return np.asarray((np.array(towards) - centre) @ axes.T)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator,unused-ignore]
def accumulate(
    data: NDArray[np.complex64], flags: NDArray[np.bool_], weight: NDArray[np.float32], uvw_m: NDArray[np.float64],
    times: NDArray[np.int64], cell: NDArray[np.int64], freqs_hz: NDArray[np.float64], lmn: NDArray[np.float64],
    apparent_jy: NDArray[np.float32], products: NDArray[np.complex64], power: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add w V M* to `products` and w |M|^2 to `power` (cells, channels, correlations), for rows with a cell >= 0.

    data, flags : (rows, channels, correlations); weight : (rows, correlations); uvw_m : (rows, 3).
    times : each row's index into `apparent_jy` (sources, times, channels); cell : each row's index into the sums.
    """
    for row in range(data.shape[0]):
        into = cell[row]
        if into < 0:
            continue
        for channel in range(data.shape[1]):
            wavenumber = 2.0 * np.pi * freqs_hz[channel] / C_M_S
            real, imaginary = 0.0, 0.0
            for source in range(lmn.shape[0]):
                path = uvw_m[row, 0] * lmn[source, 0] + uvw_m[row, 1] * lmn[source, 1] + uvw_m[row, 2] * lmn[source, 2]
                flux = apparent_jy[source, times[row], channel]
                real += flux * np.cos(wavenumber * path)
                imaginary += flux * np.sin(wavenumber * path)
            squared = real * real + imaginary * imaginary
            for pol in range(data.shape[2]):
                value = data[row, channel, pol]
                if not flags[row, channel, pol] and np.isfinite(value.real) and np.isfinite(value.imag):
                    products[into, channel, pol] += weight[row, pol] * value * complex(real, -imaginary)
                    power[into, channel, pol] += weight[row, pol] * squared
