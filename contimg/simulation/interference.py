"""Interference: a radar that is on for some integrations, a steady satellite, a burst over the whole band.

An emitter is fixed on the ground, so the correlator's constant fringe-stop leaves its phase constant in time.
"""

import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import C_M_S
from contimg.simulation import drift
from contimg.simulation.array import Array
from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan

RADAR_HZ, RADAR_WIDTH_HZ, RADAR_JY, RADAR_FRACTION = 1330.0e6, 2.0e6, 400.0, 0.4
SATELLITE_HZ, SATELLITE_WIDTH_HZ, SATELLITE_JY = 1381.05e6, 1.0e6, 150.0
BURST_JY = 60.0
SIDELOBE_SCATTER = 0.5  # of each antenna's response far from the pointing, natural logarithm


def emitter_fields(
    options: SimulateOptions, plan: TilePlan, array: Array, freqs_hz: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return the emitters' fields at each antenna.

    Parameters
    ----------
    options, plan, array : of the run, the tile and its antennas.
    freqs_hz : shape (channels,).

    Returns
    -------
    square root of Jy, shape (times, antennas, emitters, channels).
    """
    rng = np.random.default_rng([options.seed, 3])
    azimuths = rng.uniform(0, 2 * np.pi, 3)
    sidelobes = np.exp(SIDELOBE_SCATTER * rng.standard_normal((len(array.positions_m), 3)))[array.numbers]
    power = _power_jy(plan, np.random.default_rng([options.seed, 4, plan.index]), freqs_hz)
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
