"""Visibilities of a subband from the sources' fields at the antennas.

The correlator's fringe-stop to hour angle 0 subtracts one geometric phase per antenna, so a source's field at antenna
k is A exp(2 pi i f/c x_k . (s - s0)), with s0 the meridian at the pointing declination, and UVH5's visibility of
baseline (1, 2) is the sum over sources of conj(E1) E2. Sampled at channel and integration centres: no smearing.

Interference is a radar that is on for some integrations, a steady satellite, and a burst over the whole band. An
emitter is fixed on the ground, so the fringe-stop leaves its phase constant in time.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import BAND, C_M_S
from contimg.instrument.time import DAY_S
from contimg.simulation import drift
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan
from contimg.simulation.receivers import POLARIZATIONS, Array, Corruption, build_array, draw_corruption
from contimg.simulation.sky import CALIBRATOR, beam_response

RADAR_HZ, RADAR_WIDTH_HZ, RADAR_JY, RADAR_FRACTION = 1330.0e6, 2.0e6, 400.0, 0.4
SATELLITE_HZ, SATELLITE_WIDTH_HZ, SATELLITE_JY = 1381.05e6, 1.0e6, 150.0
BURST_JY = 60.0
SIDELOBE_SCATTER = 0.5  # of each antenna's response far from the pointing, natural logarithm


@dataclass(frozen=True)
class Run:
    """What all tiles of a run share.

    Attributes
    ----------
    options, array, corruption : of the run.
    zero_jd : time at which phase drifts are zero, UTC Julian date.
    """

    options: SimulateOptions
    array: Array
    corruption: Corruption
    zero_jd: float


def prepare_run(options: SimulateOptions) -> Run:
    """Return the antennas and receivers of a run; time zero is the calibrator's transit.

    Parameters
    ----------
    options : of the run.
    """
    array = build_array(options.antennas)
    zero_jd, _ = drift.transit(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, options.date)
    return Run(options, array, draw_corruption(options, array), zero_jd)


def sky_fields(run: Run, plan: TilePlan, freqs_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the sources' fields at each antenna, square root of Jy, shape (times, antennas, sources, channels).

    Parameters
    ----------
    run, plan : of the tile.
    freqs_hz : channel centres, shape (channels,).
    """
    if not plan.sources:
        return np.zeros((plan.times_jd.size, run.array.stations.size, 0, freqs_hz.size), dtype=np.complex128)
    directions = drift.source_directions(
        [source.ra_deg for source in plan.sources], [source.dec_deg for source in plan.sources], plan.times_jd
    )
    pointing = drift.meridian_direction(plan.apparent_dec_rad)
    separation = 2 * np.arcsin(0.5 * np.linalg.norm(directions - pointing, axis=-1))
    flux_jy = np.stack([source.flux_jy(freqs_hz) for source in plan.sources])
    apparent_jy = flux_jy * beam_response(run.options.beam, separation[..., np.newaxis], freqs_hz)
    path_m = np.einsum("ax,tsx->tas", run.array.positions_m[run.array.numbers], directions - pointing)
    cycles = path_m[..., np.newaxis] * (freqs_hz / C_M_S)
    return np.asarray(np.sqrt(apparent_jy)[:, np.newaxis] * np.exp(2j * np.pi * cycles))


def emitter_fields(run: Run, plan: TilePlan, freqs_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the emitters' fields at each antenna.

    Parameters
    ----------
    run, plan : of the tile.
    freqs_hz : shape (channels,).

    Returns
    -------
    square root of Jy, shape (times, antennas, emitters, channels).
    """
    array, seed = run.array, run.options.seed
    rng = np.random.default_rng([seed, 3])
    azimuths = rng.uniform(0, 2 * np.pi, 3)
    sidelobes = np.exp(SIDELOBE_SCATTER * rng.standard_normal((len(array.positions_m), 3)))[array.numbers]
    power = _power_jy(plan, np.random.default_rng([seed, 4, plan.index]), freqs_hz)
    # Level ground: the emitters are on the horizon, at infinite distance.
    directions = drift.horizon_directions(azimuths)
    path_m = array.positions_m[array.numbers] @ (directions - drift.meridian_direction(plan.apparent_dec_rad)).T
    field = sidelobes[..., np.newaxis] * np.exp(2j * np.pi / C_M_S * path_m[..., np.newaxis] * freqs_hz)
    return np.asarray(np.sqrt(power)[:, np.newaxis] * field)


def _power_jy(plan: TilePlan, rng: np.random.Generator, freqs_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power of radar, satellite and burst at an antenna, shape (times, 3, channels)."""
    times = plan.times_jd.size
    radar = RADAR_JY * np.exp(-0.5 * ((freqs_hz - RADAR_HZ) / RADAR_WIDTH_HZ) ** 2)
    satellite = SATELLITE_JY * (np.abs(freqs_hz - SATELLITE_HZ) < SATELLITE_WIDTH_HZ)
    burst = np.full(freqs_hz.size, BURST_JY)
    radar_on = rng.random(times) < RADAR_FRACTION
    burst_on = np.arange(times) == rng.integers(times)
    return np.stack([np.outer(radar_on, radar), np.outer(np.ones(times), satellite), np.outer(burst_on, burst)], axis=1)


def subband_visibilities(run: Run, plan: TilePlan, subband: int) -> NDArray[np.complex64]:
    """Return the visibilities of a subband in Jy (times the gains), shape (times × baselines, 1, channels, 2).

    Parameters
    ----------
    run, plan : of the tile.
    subband : its number.
    """
    options, array, corruption = run.options, run.array, run.corruption
    freqs_hz = BAND.channel_freqs_hz(subband, options.channels_per_subband)
    fields = sky_fields(run, plan, freqs_hz)
    if options.rfi:
        fields = np.concatenate([fields, emitter_fields(run, plan, freqs_hz)], axis=2)
    fields *= corruption.receives[array.numbers][:, np.newaxis, np.newaxis]
    seconds = (plan.times_jd - run.zero_jd) * DAY_S
    gains = np.stack([corruption.gains(array.numbers, freqs_hz, second) for second in seconds])
    shape = (plan.times_jd.size, array.first.size, freqs_hz.size, POLARIZATIONS)
    system_jy = corruption.sefd_jy[array.numbers] if options.noise else np.zeros(array.stations.size)
    visibilities = _unit_noise(shape, np.random.default_rng([options.seed, 5, plan.index, subband]), options.noise)
    real, imag = (np.ascontiguousarray(part, dtype=np.float32) for part in (fields.real, fields.imag))
    noise_per_jy = np.float32(1.0 / np.sqrt(2.0 * options.channel_width_hz * options.integration_s))
    correlate(
        visibilities, real, imag, gains.astype(np.complex64), array.first, array.second, system_jy.astype(np.float32),
        noise_per_jy,
    )  # fmt: skip
    return visibilities.reshape(-1, 1, freqs_hz.size, POLARIZATIONS)


def _unit_noise(shape: tuple[int, ...], rng: np.random.Generator, noise: bool) -> NDArray[np.complex64]:
    """Complex numbers with real and imaginary parts of variance 1, or zeros without noise."""
    if not noise:
        return np.zeros(shape, dtype=np.complex64)
    parts = rng.standard_normal((*shape[:-1], 2 * shape[-1]), dtype=np.float32)
    return parts.view(np.complex64)


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def correlate(  # type: ignore[no-untyped-def]  # noqa: ANN201
    visibilities: Any, real: Any, imag: Any, gains: Any, first: Any, second: Any, system_jy: Any, noise_per_jy: Any
):
    """Correlate fields into visibilities, in place.

    The radiometer equation: with N = width × time independent samples, real and imaginary part of a
    crosscorrelation each scatter by sqrt(SEFD1 SEFD2 / 2N), an autocorrelation, which is real and carries the
    system's own power, by SEFD / sqrt(N). The sources' own noise is neglected (16 Jy against 6500).

    Parameters
    ----------
    visibilities : complex64 (times, baselines, channels, pols); unit noise in, visibilities out.
    real, imag : float32 (times, antennas, components, channels), the fields.
    gains : complex64 (times, antennas, channels, pols).
    first, second : int64 (baselines,), the antennas of each baseline.
    system_jy : float32 (antennas,), SEFD; 0 for noiseless receivers.
    noise_per_jy : 1 / sqrt(2 N).
    """
    times, baselines, channels, pols = visibilities.shape
    components = real.shape[2]
    sky_real = np.empty(channels, dtype=np.float32)
    sky_imag = np.empty(channels, dtype=np.float32)
    for t in range(times):
        for b in range(baselines):
            i, j = first[b], second[b]
            sky_real[:] = 0
            sky_imag[:] = 0
            for s in range(components):
                for c in range(channels):
                    sky_real[c] += real[t, i, s, c] * real[t, j, s, c] + imag[t, i, s, c] * imag[t, j, s, c]
                    sky_imag[c] += real[t, i, s, c] * imag[t, j, s, c] - imag[t, i, s, c] * real[t, j, s, c]
            sigma = noise_per_jy * np.sqrt(system_jy[i] * system_jy[j])
            for c in range(channels):
                for p in range(pols):
                    noise = visibilities[t, b, c, p]
                    if i == j:
                        power = sky_real[c] + system_jy[i] + np.float32(np.sqrt(2.0)) * sigma * noise.real
                        value = np.complex64(complex(power, 0.0))
                    else:
                        value = np.complex64(
                            complex(sky_real[c] + sigma * noise.real, sky_imag[c] + sigma * noise.imag)
                        )
                    visibilities[t, b, c, p] = np.conj(gains[t, i, c, p]) * gains[t, j, c, p] * value
