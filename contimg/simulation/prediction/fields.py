"""Visibilities of thousands of sources, as a complex matrix product for each time and frequency.

A source's field at antenna k is v_k sqrt(S) exp(2 pi i f/c x_k . (s - s0)), with s0 the meridian at the pointing
declination, to which the correlator fringe-stops, and v_k the voltage pattern of the dish. UVH5's visibility of
baseline (1, 2) is the sum over sources of conj(E1) E2: a product of the matrix (antennas, sources) with its adjoint.

Within an integration the sky turns, and the fringe-stop with it. The average over the integration is a sum over
Gauss-Legendre nodes, as many for each source as its rate on the longest baseline needs (`node_count`). A resolved
source is summed for each baseline instead, with the Fourier transform of its Gaussian.

As a function of frequency, a visibility is limited by the largest delay of a source. Where the channels are finer
than that asks for, every second to fourth is computed, and the others are interpolated with the least-squares weights
of a band-limited function (`interpolation`), whose error is below 4e-5. Channels are not averaged over their width:
with native channels this would change a flux by less than 0.1 % at 2 degrees from the centre.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from contimg.instrument.dsa110 import C_M_S
from contimg.instrument.time import EARTH_RAD_S
from contimg.simulation import drift
from contimg.simulation.beams import Beam, sky_offsets
from contimg.simulation.prediction.kernels import COLUMNS, add_gaussians, add_points, gather
from contimg.simulation.sky import Source

# Error of the average of exp(i b u) over -1 < u < 1 by n Gauss-Legendre nodes: b**(2n) / divisor (Abramowitz & Stegun
# 1964, 25.4.30).
NODE_DIVISORS = (6.0, 270.0, 31_500.0, 6_945_750.0, 2_523_451_000.0)
NODE_TOLERANCE, NODE_TOLERANCE_JY = 5e-5, 5e-6  # of the flux or in Jy, whichever is larger
MAX_STRIDE, TAPS, BANDWIDTH = 4, 18, 0.32  # cycles of the largest delay in a step of the computed frequencies
SEGMENT_HZ = 6e6  # over which amplitudes are linear in frequency: 1e-5 of the flux
BLOCK = 128  # components at a time: the fields of 96 antennas stay in the second-level cache


@dataclass(frozen=True)
class Observation:
    """What the prediction needs to know of a tile.

    Attributes
    ----------
    times_jd : integration centres, shape (times,), UTC Julian dates.
    integration_s : 0 for no smearing.
    apparent_dec_rad : declination of the pointing.
    sources : the sky.
    positions_m : antennas relative to the site, ITRS, shape (antennas, 3).
    offsets_m : of the antennas from the positions that the fringe-stop uses, ITRS, shape (antennas, 3).
    receives : 0 for antennas that are dead, else 1, shape (antennas,).
    numbers : antenna slots, shape (antennas,).
    first, second : antennas of each baseline, shape (baselines,).
    beam : of the dishes.
    moving_beam : False for the response at mid-tile in every integration.
    threads : number of threads.
    """

    times_jd: NDArray[np.float64]
    integration_s: float
    apparent_dec_rad: float
    sources: tuple[Source, ...]
    positions_m: NDArray[np.float64]
    offsets_m: NDArray[np.float64]
    receives: NDArray[np.float64]
    numbers: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    beam: Beam
    moving_beam: bool
    threads: int


@dataclass(frozen=True)
class SkyVisibilities:
    """Visibilities of the sky through perfect receivers, at some of the frequencies of a band.

    Attributes
    ----------
    values : Jy, complex64, shape (hands, times, baselines, frequencies); one hand when both polarisations are equal.
    first_hz, step_hz : the frequencies.
    """

    values: NDArray[np.complex64]
    first_hz: float
    step_hz: float

    def weights(self, freqs_hz: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return how channels are interpolated.

        Parameters
        ----------
        freqs_hz : channel centres, shape (channels,).

        Returns
        -------
        first of the frequencies for each channel, and the weights, shape (channels, taps).
        """
        return interpolation((freqs_hz - self.first_hz) / self.step_hz, self.values.shape[-1])


def interpolation(positions: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the weights that interpolate a function of bandwidth BANDWIDTH cycles a step, by least squares.

    Parameters
    ----------
    positions : where to interpolate, in steps, shape (channels,).
    count : number of samples, at 0, 1, 2, ….

    Returns
    -------
    first sample of each position, shape (channels,), and weights, shape (channels, taps). Positions on samples get one
    weight: 1.
    """
    nearest = np.rint(positions)
    if np.abs(positions - nearest).max(initial=0.0) < 1e-6:
        return nearest.astype(np.int64), np.ones((positions.size, 1), dtype=np.float32)
    starts = np.clip(np.floor(positions).astype(np.int64) - TAPS // 2 + 1, 0, count - TAPS)
    taps = np.arange(TAPS)
    normal = np.sinc(2 * BANDWIDTH * (taps[:, np.newaxis] - taps))
    right = np.sinc(2 * BANDWIDTH * ((positions - starts)[np.newaxis] - taps[:, np.newaxis]))
    return starts, np.ascontiguousarray(np.linalg.lstsq(normal, right, rcond=1e-13)[0].T, dtype=np.float32)


def node_count(
    cycles: NDArray[np.float64], flux_jy: NDArray[np.float64], response: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return how many nodes in time the average over an integration needs.

    Parameters
    ----------
    cycles : of a source's phase in an integration on the longest baseline, shape (sources,).
    flux_jy : of the source, shape (sources,).
    response : of the primary beam to its power, shape (sources,).
    """
    errors = np.stack([(np.pi * cycles) ** (2 * n + 2) / divisor for n, divisor in enumerate(NODE_DIVISORS)])
    sufficient = errors * flux_jy * response <= np.maximum(NODE_TOLERANCE * flux_jy, NODE_TOLERANCE_JY)
    sufficient[-1] = True
    return np.asarray(np.argmax(sufficient, axis=0) + 1)


def predict(observation: Observation, freqs_hz: NDArray[np.float64]) -> SkyVisibilities:
    """Compute the visibilities of a tile.

    Parameters
    ----------
    observation : the tile.
    freqs_hz : evenly spaced channels, shape (channels,).

    Returns
    -------
    visibilities at every channel or at every few, see `SkyVisibilities.weights`.
    """
    step_hz = float(freqs_hz[1] - freqs_hz[0]) if freqs_hz.size > 1 else 1e6
    sky = _Sky(observation, freqs_hz)
    stride = min(MAX_STRIDE, int(BANDWIDTH / max(abs(step_hz) * sky.delay_s, 1e-9)))
    if stride > 1 and freqs_hz.size > 2 * TAPS:
        margin = TAPS // 2
        count = -(-(freqs_hz.size - 1) // stride) + 1 + 2 * margin
        first_hz, step_hz = float(freqs_hz[0]) - margin * stride * step_hz, stride * step_hz
    else:
        count, first_hz = freqs_hz.size, float(freqs_hz[0])
    shape = (observation.beam.hands, observation.times_jd.size, observation.first.size, count)
    values = np.zeros(shape, dtype=np.complex64)
    if observation.sources:
        with ThreadPoolExecutor(observation.threads) as pool:
            list(pool.map(lambda t: sky.fill(values[:, t], t, first_hz, step_hz), range(shape[1])))
    return SkyVisibilities(values, first_hz, step_hz)


class _Sky:
    """Directions of all sources at all times, and what the kernels need of them for an integration."""

    def __init__(self, observation: Observation, freqs_hz: NDArray[np.float64]) -> None:
        self.observation = observation
        sources = observation.sources
        self.delay_s = 0.0
        if not sources:
            return
        ra_deg, dec_deg = (np.array([getattr(source, name) for source in sources]) for name in ("ra_deg", "dec_deg"))
        self.directions = drift.source_directions(ra_deg, dec_deg, observation.times_jd)
        self.meridian = drift.meridian_direction(observation.apparent_dec_rad)
        self.flux_jy = np.stack([source.flux_jy(freqs_hz[[0, -1]]) for source in sources]).max(axis=1)
        shapes = np.array([source.shape for source in sources])
        self.resolved = np.flatnonzero(shapes[:, 0] > 0)
        if self.resolved.size:
            self.axes = self._gaussian_axes(ra_deg[self.resolved], dec_deg[self.resolved], shapes[self.resolved])
        offset = (self.directions - self.meridian)[[0, -1]]
        self.delay_s = float(np.ptp(offset @ observation.positions_m.T, axis=-1).max()) / C_M_S
        path_change_m = np.ptp(self._drift_in_integration(offset) @ observation.positions_m.T, axis=-1).max(axis=0)
        middle = self.directions[len(self.directions) // 2]
        response = observation.beam.voltage(*sky_offsets(middle, observation.apparent_dec_rad), freqs_hz.min()) ** 2
        cycles = path_change_m * freqs_hz.max() / C_M_S
        # The response at mid-tile may be near a null that the source leaves.
        nodes = node_count(cycles, self.flux_jy, np.maximum(response, 0.05))
        nodes[self.resolved] = 0
        self.by_nodes = [(int(count), np.flatnonzero(nodes == count)) for count in np.unique(nodes[nodes > 0])]

    def _drift_in_integration(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Change of directions in an integration, of first order; the same shape."""
        x, y = offsets[..., 0], offsets[..., 1]
        return np.stack([y, -x, np.zeros_like(x)], axis=-1) * EARTH_RAD_S * self.observation.integration_s

    def _gaussian_axes(
        self, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], shapes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Vectors along the axes with a length of FWHM in radians, ITRS, shape (times, sources, 2, 3)."""
        directions = self.directions[:, self.resolved]
        north = drift.source_directions(ra_deg, dec_deg + 0.01, self.observation.times_jd) - directions
        north -= np.sum(north * directions, axis=-1, keepdims=True) * directions
        north /= np.linalg.norm(north, axis=-1, keepdims=True)
        east = np.cross(north, directions)
        major_rad, minor_rad = (np.deg2rad(shapes[:, axis, np.newaxis] / 3600) for axis in (0, 1))
        sine, cosine = (function(np.deg2rad(shapes[:, 2, np.newaxis])) for function in (np.sin, np.cos))
        return np.stack(
            [major_rad * (north * cosine + east * sine), minor_rad * (east * cosine - north * sine)], axis=2
        )

    def fill(self, values: NDArray[np.complex64], t: int, first_hz: float, step_hz: float) -> None:
        """Add the sky of an integration to visibilities of shape (hands, baselines, frequencies)."""
        observation = self.observation
        segment = max(1, int(SEGMENT_HZ / abs(step_hz)))
        edges_hz = first_hz + step_hz * segment * np.arange(-(-values.shape[-1] // segment) + 1)
        antennas = observation.positions_m.shape[0]
        padded = -(-antennas // COLUMNS) * COLUMNS
        for hand in range(len(values)):
            real, imag = (np.zeros((values.shape[-1], padded, padded), dtype=np.float32) for _ in range(2))
            for path_m, voltages in self._point_blocks(t, edges_hz, hand):
                add_points(real, imag, path_m / C_M_S, voltages, first_hz, step_hz, segment)
            gather(values[hand], real, imag, observation.first, observation.second)
            if self.resolved.size:
                self._add_resolved(values[hand], t, edges_hz, hand, first_hz, step_hz, segment)

    def _point_blocks(
        self, t: int, edges_hz: NDArray[np.float64], hand: int
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float32]]]:
        """Yield blocks of points, each at its nodes: paths (antennas, points), voltages (edges, antennas, points)."""
        for count, of_count in self.by_nodes:
            for position, weight in zip(*leggauss(count), strict=True):
                angle_rad = 0.5 * position * self.observation.integration_s * EARTH_RAD_S
                for start in range(0, of_count.size, BLOCK):
                    block = of_count[start : start + BLOCK]
                    voltages = self._voltages(t, block, angle_rad, edges_hz, hand) * np.float32(np.sqrt(0.5 * weight))
                    yield self._paths_m(_turn(self.directions[t, block] - self.meridian, angle_rad)), voltages

    def _paths_m(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Paths to the antennas relative to the meridian's, shape (antennas, sources)."""
        observation = self.observation
        antennas_m = observation.positions_m + observation.offsets_m
        return antennas_m @ offsets.T + (observation.offsets_m @ self.meridian)[:, np.newaxis]

    def _voltages(
        self, t: int, which: NDArray[np.intp], angle_rad: float, edges_hz: NDArray[np.float64], hand: int
    ) -> NDArray[np.float32]:
        """Voltage pattern times root of flux, shape (edges, antennas, sources)."""
        observation = self.observation
        if observation.moving_beam:
            directions = _turn(self.directions[t, which], angle_rad)
        else:
            directions = 0.5 * (self.directions[:, which] + self.directions[::-1, which])[len(self.directions) // 2]
        east, north = sky_offsets(directions, observation.apparent_dec_rad)
        pointing = observation.beam.of_antennas(observation.numbers)[:, np.newaxis]
        pattern = observation.beam.voltage(east, north, edges_hz[:, np.newaxis, np.newaxis], pointing, hand)
        root_jy = np.sqrt([observation.sources[i].flux_jy(edges_hz) for i in which]).T
        voltages = pattern * root_jy[:, np.newaxis] * observation.receives[:, np.newaxis]
        return np.ascontiguousarray(voltages, dtype=np.float32)

    def _add_resolved(
        self, values: NDArray[np.complex64], t: int, edges_hz: NDArray[np.float64], hand: int, first_hz: float,
        step_hz: float, segment: int,
    ) -> None:  # fmt: skip
        """Add the elliptical Gaussians to visibilities of shape (baselines, frequencies)."""
        observation, offsets = self.observation, self.directions[t, self.resolved] - self.meridian
        antennas_m = observation.positions_m + observation.offsets_m
        add_gaussians(
            values,
            self._paths_m(offsets) / C_M_S,
            antennas_m @ self._drift_in_integration(offsets).T / C_M_S,
            np.einsum("ax,gkx->akg", antennas_m, self.axes[t]) / C_M_S,
            self._voltages(t, self.resolved, 0.0, edges_hz, hand),
            edges_hz, observation.first, observation.second, first_hz, step_hz, segment,
        )  # fmt: skip


def _turn(directions: NDArray[np.float64], angle_rad: float) -> NDArray[np.float64]:
    """Turn ITRS vectors to celestial directions by the Earth's rotation through an angle."""
    sine, cosine = np.sin(angle_rad), np.cos(angle_rad)
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z], axis=-1)
