"""Visibilities of a subband: the sky of `contimg.simulation.prediction.fields`, interference, noise and gains.

Interference is a radar that is on for some integrations, a steady satellite, and a burst over the whole band. An
emitter is fixed on the ground, so the fringe-stop leaves its phase constant in time. Further bursts fill part of the
band.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import BAND, C_M_S
from contimg.instrument.time import DAY_S
from contimg.simulation import drift
from contimg.simulation.beams import Beam, build_beam
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan
from contimg.simulation.prediction.fields import Observation, SkyVisibilities, predict
from contimg.simulation.receivers import POLARIZATIONS, Array, Corruption, build_array, draw_corruption
from contimg.simulation.sky import CALIBRATOR

RADAR_HZ, RADAR_WIDTH_HZ, RADAR_JY, RADAR_FRACTION = 1330.0e6, 2.0e6, 400.0, 0.4
SATELLITE_HZ, SATELLITE_WIDTH_HZ, SATELLITE_JY = 1381.05e6, 1.0e6, 150.0
BURST_JY = 60.0
BURSTS_JY, BURSTS_WIDTH_HZ = (20.0, 200.0), (2e6, 40e6)
SIDELOBE_SCATTER = 0.5  # of each antenna's response far from the pointing, natural logarithm


@dataclass(frozen=True)
class Run:
    """What all tiles of a run share.

    Attributes
    ----------
    options, array, corruption, beam : of the run.
    zero_jd : time at which phase drifts are zero, UTC Julian date.
    """

    options: SimulateOptions
    array: Array
    corruption: Corruption
    zero_jd: float
    beam: Beam


def prepare_run(options: SimulateOptions) -> Run:
    """Return the antennas and receivers of a run; time zero is the calibrator's transit.

    Parameters
    ----------
    options : of the run.
    """
    array = build_array(options.antennas)
    zero_jd, _ = drift.transit(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, options.date)
    return Run(options, array, draw_corruption(options, array), zero_jd, build_beam(options))


def _burst_power_jy(options: SimulateOptions, plan: TilePlan, freqs_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power of further bursts, each in one integration and part of the band, shape (times, channels)."""
    rng = np.random.default_rng([options.seed, 11, plan.index])
    power = np.zeros((plan.times_jd.size, freqs_hz.size))
    for _ in range(options.bursts):
        time, centre_hz = rng.integers(plan.times_jd.size), rng.uniform(BAND.bottom_hz, BAND.top_hz)
        width_hz, peak_jy = (np.exp(rng.uniform(*np.log(limits))) for limits in (BURSTS_WIDTH_HZ, BURSTS_JY))
        power[time] += peak_jy * (np.abs(freqs_hz - centre_hz) < 0.5 * width_hz)
    return power


def predict_sky(run: Run, plan: TilePlan, freqs_hz: NDArray[np.float64]) -> SkyVisibilities:
    """Compute the visibilities of the sources of a tile before the receivers.

    Parameters
    ----------
    run, plan : of the tile.
    freqs_hz : evenly spaced channels, shape (channels,).
    """
    options, array, corruption = run.options, run.array, run.corruption
    observation = Observation(
        times_jd=plan.times_jd,
        integration_s=options.integration_s if options.smearing else 0.0,
        apparent_dec_rad=plan.apparent_dec_rad,
        sources=plan.sources,
        positions_m=array.positions_m[array.numbers],
        offsets_m=corruption.position_error_m[array.numbers],
        receives=corruption.receives[array.numbers],
        numbers=array.numbers,
        first=array.first,
        second=array.second,
        beam=run.beam,
        moving_beam=options.moving_beam,
        threads=options.threads,
    )
    return predict(observation, freqs_hz)


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
    power = _power_jy(plan, np.random.default_rng([seed, 4, plan.index]), freqs_hz) * run.options.rfi
    power[:, 2] += _burst_power_jy(run.options, plan, freqs_hz)
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


def subband_visibilities(
    run: Run, plan: TilePlan, subband: int, sky: SkyVisibilities | None = None
) -> NDArray[np.complex64]:
    """Return the visibilities of a subband in Jy (times the gains), shape (times × baselines, 1, channels, 2).

    Parameters
    ----------
    run, plan : of the tile.
    subband : its number.
    sky : of the whole band, see `predict_sky`; computed for the subband when not given.
    """
    options, array, corruption = run.options, run.array, run.corruption
    freqs_hz = BAND.channel_freqs_hz(subband, options.channels_per_subband)
    sky = sky or predict_sky(run, plan, freqs_hz)
    starts, weights = sky.weights(freqs_hz)
    emitters = np.zeros((plan.times_jd.size, array.stations.size, 0, freqs_hz.size), dtype=np.complex128)
    if options.rfi or options.bursts:
        emitters = emitter_fields(run, plan, freqs_hz) * corruption.receives[array.numbers][:, np.newaxis, np.newaxis]
    seconds = (plan.times_jd - run.zero_jd) * DAY_S
    gains = np.stack([corruption.gains(array.numbers, freqs_hz, second) for second in seconds])
    shape = (plan.times_jd.size, array.first.size, freqs_hz.size, POLARIZATIONS)
    system_jy = corruption.sefd_jy[array.numbers] if options.noise else np.zeros(array.stations.size)
    visibilities = _unit_noise(shape, np.random.default_rng([options.seed, 5, plan.index, subband]), options.noise)
    real, imag = (np.ascontiguousarray(part, dtype=np.float32) for part in (emitters.real, emitters.imag))
    noise_per_jy = np.float32(1.0 / np.sqrt(2.0 * options.channel_width_hz * options.integration_s))
    correlate(
        visibilities, sky.values, starts, weights, real, imag, gains.astype(np.complex64), array.first, array.second,
        system_jy.astype(np.float32), noise_per_jy,
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
    visibilities: Any, sky: Any, starts: Any, weights: Any, real: Any, imag: Any, gains: Any, first: Any, second: Any,
    system_jy: Any, noise_per_jy: Any,
):  # fmt: skip
    """Put the sky, emitters, noise and gains together into visibilities, in place.

    The radiometer equation: with N = width × time independent samples, real and imaginary part of a
    crosscorrelation each scatter by sqrt(SEFD1 SEFD2 / 2N), an autocorrelation, which is real and carries the
    system's own power, by SEFD / sqrt(N). The sources' own noise is neglected (16 Jy against 6500).

    Parameters
    ----------
    visibilities : complex64 (times, baselines, channels, pols); unit noise in, visibilities out.
    sky : complex64 (1 or pols, times, baselines, frequencies), the sources.
    starts, weights : int64 (channels,) and float32 (channels, taps), the frequencies that make a channel.
    real, imag : float32 (times, antennas, emitters, channels), the fields of emitters.
    gains : complex64 (times, antennas, channels, pols).
    first, second : int64 (baselines,), the antennas of each baseline.
    system_jy : float32 (antennas,), SEFD; 0 for noiseless receivers.
    noise_per_jy : 1 / sqrt(2 N).
    """
    times, baselines, channels, pols = visibilities.shape
    hands, taps = sky.shape[0], weights.shape[1]
    signal = np.empty((hands, channels), dtype=np.complex64)
    for t in range(times):
        for b in range(baselines):
            i, j = first[b], second[b]
            for hand in range(hands):
                for c in range(channels):
                    value = np.complex64(0)
                    for k in range(taps):
                        value += weights[c, k] * sky[hand, t, b, starts[c] + k]
                    signal[hand, c] = value
            for s in range(real.shape[2]):
                for c in range(channels):
                    x = real[t, i, s, c] * real[t, j, s, c] + imag[t, i, s, c] * imag[t, j, s, c]
                    y = real[t, i, s, c] * imag[t, j, s, c] - imag[t, i, s, c] * real[t, j, s, c]
                    for hand in range(hands):
                        signal[hand, c] += np.complex64(complex(x, y))
            sigma = noise_per_jy * np.sqrt(system_jy[i] * system_jy[j])
            for c in range(channels):
                for p in range(pols):
                    noise, value = visibilities[t, b, c, p], signal[min(p, hands - 1), c]
                    if i == j:
                        power = value.real + system_jy[i] + np.float32(np.sqrt(2.0)) * sigma * noise.real
                        value = np.complex64(complex(power, 0.0))
                    else:
                        value += sigma * noise
                    visibilities[t, b, c, p] = np.conj(gains[t, i, c, p]) * gains[t, j, c, p] * value
