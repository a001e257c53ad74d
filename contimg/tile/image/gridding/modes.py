"""What changes within a tile while a source keeps its pixel: the primary beam, its spectrum, smearing.

The visibilities of a model M of apparent fluxes are the sum over pixels p of
M_p (1 + Σ_k c_k(row, channel) g_k(p)) exp(…): each mode k is one more degridding, of M g_k.

The primary beam and an assumed spectral index make apparent fluxes change with time and frequency; a singular value
decomposition of these changes gives the modes with the smallest error. Averaging over integrations and over channels
costs (π x)² / 6 of the flux, where x is the turn of the phase within it, a quadratic form of the source's offset
(Bridle & Schwab, in Synthesis Imaging II, ch. 18): three modes, l², l m and m².
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from contimg.formats.ms.info import MSInfo
from contimg.instrument.coordinates import sin_deproject, unit_vectors
from contimg.instrument.dsa110 import C_M_S, primary_beam
from contimg.instrument.time import EARTH_RAD_S
from contimg.tile.image.gridding.slant import LEVEL, Slant
from contimg.tile.image.gridding.visibilities import Visibilities

Image = NDArray[np.float32]

KNOTS = 65  # per side of the field; the modes are smooth between
BAND_BINS = 12
MIN_MODE = 0.01  # of the changes, as an rms over the field weighted with the primary beam
MAX_MODES = 6
MIN_RESPONSE = 3e-3  # of the primary beam, below which sources are treated as constant
MIN_RANK = 1e-3


@dataclass(frozen=True)
class Mode:
    """A change of the sky's apparent fluxes: `factor` of a pixel times `rows @ channels` of a visibility.

    Attributes
    ----------
    factor : shape (size, size).
    rows, channels : shapes (rows, rank) and (rank, channels).
    """

    factor: Image
    rows: NDArray[np.float32]
    channels: NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """Geometry of the images that are gridded: square, around the phase centre.

    Attributes
    ----------
    size : pixels on a side.
    pixel_rad : size of a pixel, radians.
    slant : of the coordinates.
    """

    size: int
    pixel_rad: float
    slant: Slant = LEVEL

    @property
    def offsets_rad(self) -> NDArray[np.float64]:
        """Offsets of the pixels along an axis, shape (size,)."""
        return np.asarray((np.arange(self.size) - self.size // 2) * self.pixel_rad)

    @property
    def knots_rad(self) -> NDArray[np.float64]:
        """Offsets along an axis at which smooth functions are computed, shape (KNOTS,)."""
        half = self.size // 2 * self.pixel_rad
        return np.linspace(-half, half, KNOTS)

    def knot_cosines(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the direction cosines l, m of the knots, shapes (KNOTS, KNOTS) indexed [y, x]."""
        knots = self.knots_rad
        slanted_l, slanted_m = np.broadcast_arrays(-knots[None, :], knots[:, None])
        return self.slant.to_cosines(slanted_l, slanted_m)

    def interpolate(self, values: NDArray[np.float64]) -> Image:
        """Interpolate values at the knots to the pixels with a cubic spline.

        Parameters
        ----------
        values : shape (KNOTS, KNOTS).
        """
        basis = make_interp_spline(self.knots_rad, np.eye(KNOTS), k=3)(self.offsets_rad)
        return np.asarray(basis @ values @ basis.T, dtype=np.float32)


def weigh_cells(
    data: Visibilities, weights: NDArray[np.float32], times: int, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the frequencies of bins of the band, and the fraction of the weight at each time and bin.

    Parameters
    ----------
    data, weights : the visibilities and their imaging weights, shape (rows, channels).
    times : number of the Measurement Set's times.
    bins : maximum number of bins.

    Returns
    -------
    Hz, shape (bins,), and fractions, shape (times, bins).
    """
    edges = np.linspace(0, data.freqs_hz.size, min(bins, data.freqs_hz.size) + 1).astype(np.int64)
    freqs_hz = np.array([data.freqs_hz[low:high].mean() for low, high in pairwise(edges)])
    bin_weights = np.add.reduceat(weights, edges[:-1], axis=1)
    cells = np.stack([np.bincount(data.times, column, minlength=times) for column in bin_weights.T], axis=1)
    return freqs_hz, cells / cells.sum()


def compute_uv_rates(
    uvw_m: NDArray[np.float64], declination_rad: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rates of u and v of the rotating Earth, m/s (Thompson, Moran & Swenson, 3rd ed., sec. 4.1).

    Parameters
    ----------
    uvw_m : shape (rows, 3).
    declination_rad : of the phase centre.
    """
    u, v, w = uvw_m.T
    sine, cosine = np.sin(declination_rad), np.cos(declination_rad)
    return EARTH_RAD_S * (w * cosine - v * sine), EARTH_RAD_S * u * sine


def find_modes(
    ms: MSInfo, data: Visibilities, weights: NDArray[np.float32], field: Field, spectral_index: float
) -> tuple[Mode, ...]:  # fmt: skip
    """Find the modes of a tile's visibilities; none where the primary beam is not known and nothing is smeared.

    Parameters
    ----------
    ms : gives the pointing at each integration, the dishes and the native sampling.
    data, weights : the visibilities, averaged as they are imaged, and their imaging weights, shape (rows, channels).
    field : geometry of the model.
    spectral_index : of the sources.
    """
    return (*_find_beam_modes(ms, data, weights, field, spectral_index), *_find_smearing_modes(ms, data, field))


def _find_beam_modes(
    ms: MSInfo, data: Visibilities, weights: NDArray[np.float32], field: Field, spectral_index: float
) -> Iterator[Mode]:
    if np.isnan(ms.dish_diameter_m):
        return
    freqs_hz, cells = weigh_cells(data, weights, ms.times_mjd_s.size, BAND_BINS)
    response = compute_responses(ms, field, freqs_hz)
    response *= (freqs_hz / (cells.sum(axis=0) @ freqs_hz))[:, None, None] ** spectral_index
    mean = np.einsum("tf,tfyx->yx", cells, response)
    changes = response / np.maximum(mean, MIN_RESPONSE) - 1
    changes[:, :, mean < MIN_RESPONSE] = 0
    root_cells, root_mean = np.sqrt(cells).reshape(-1, 1), np.sqrt(np.maximum(mean, MIN_RESPONSE)).ravel()
    weighted = changes.reshape(cells.size, -1) * root_cells * root_mean
    # The left singular vectors are the eigenvectors of the much smaller Gram matrix, in ascending order.
    squares, left = np.linalg.eigh(weighted @ weighted.T)
    scale = np.sqrt(np.maximum(squares[::-1], 0) / np.square(root_mean).sum())
    channels = _interpolate_bins(freqs_hz, data.freqs_hz)
    for mode in left.T[::-1][: min(MAX_MODES, int(np.count_nonzero(scale > MIN_MODE)))]:
        factor = field.interpolate((mode @ weighted / root_mean).reshape(KNOTS, KNOTS))
        table = (mode[:, None] / np.maximum(root_cells, 1e-12)).reshape(cells.shape)
        table[cells == 0] = 0
        by_time, by_channel = _factorise(table @ channels)
        yield Mode(factor, by_time[data.times], by_channel)


def compute_responses(ms: MSInfo, field: Field, freqs_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the primary beam at the knots of a field, shape (times, frequencies, KNOTS, KNOTS).

    Parameters
    ----------
    ms : gives the pointing at each integration and the diameter of the dishes.
    field : geometry of the knots.
    freqs_hz : shape (frequencies,).
    """
    l, m = field.knot_cosines()  # noqa: E741
    is_sky = l * l + m * m < 0.99
    directions = sin_deproject(np.where(is_sky, l, 0), np.where(is_sky, m, 0), ms.phase_centre_rad)
    responses = []
    for pointing_rad in ms.pointing_rad:
        separation_rad = np.arccos(np.clip(directions @ unit_vectors(*pointing_rad), -1, 1))
        responses.append(primary_beam(separation_rad, freqs_hz[:, None, None], ms.dish_diameter_m, ms.mid_mjd) * is_sky)
    return np.stack(responses)


def _interpolate_bins(bins_hz: NDArray[np.float64], freqs_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix that interpolates linearly from bins to channels, shape (bins, channels)."""
    return np.stack([np.interp(freqs_hz, bins_hz, unit) for unit in np.eye(bins_hz.size)])


def _factorise(table: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The table as a product of matrices of the lowest rank within MIN_RANK."""
    left, values, right = np.linalg.svd(table, full_matrices=False)
    rank = max(1, int(np.count_nonzero(values > MIN_RANK * values[0])))
    return (left[:, :rank] * values[:rank]).astype(np.float32), right[:rank].astype(np.float32)


def _find_smearing_modes(ms: MSInfo, data: Visibilities, field: Field) -> Iterator[Mode]:
    u, v, _ = data.uvw_m.T
    u_rate, v_rate = compute_uv_rates(data.uvw_m, float(ms.phase_centre_rad[1]))
    # Squares of the length of one integration that is as long as the mean of several.
    spans_s2 = (np.square(data.integrations) - 1) * ms.time_step_s**2 + ms.integration_s**2
    width_hz = ms.channel_width_hz * np.sqrt(data.channel_average**2 - 1)  # beyond that of a native channel
    l, m = field.knot_cosines()  # noqa: E741
    channels = np.stack([np.square(data.freqs_hz), np.ones(data.freqs_hz.size)]).astype(np.float32)
    for first, second, product in ((0, 0, l * l), (0, 1, 2 * l * m), (1, 1, m * m)):
        by_time = spans_s2 * (u_rate, v_rate)[first] * (u_rate, v_rate)[second]
        by_channel = width_hz**2 * (u, v)[first] * (u, v)[second]
        rows = -((np.pi / C_M_S) ** 2) / 6 * np.stack([by_time, by_channel], axis=1)
        yield Mode(field.interpolate(product), rows.astype(np.float32), channels)
