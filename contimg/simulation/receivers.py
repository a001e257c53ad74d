"""The antennas of a run, and the errors of their receivers: delays, bandpasses, gains, dead antennas, unequal noise.

The errors are drawn for all 117 slots, whichever antennas are used, and as functions of frequency, so that the same
seed gives the same receiver at any scale.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import BAND, SEFD_JY, stations
from contimg.simulation import drift
from contimg.simulation.options import SimulateOptions

FIRST_OUTRIGGER = 103
EASTERN = range(103, 109)  # outriggers that serve as reference antennas
# The correlator's inputs are not in order of station number. They start with this station here, so that some rows
# have the higher antenna first, as in real files.
FIRST_INPUT = 24
POLARIZATIONS = 2
LARGEST_DELAY_NS = 1700.0
STRAY_FRACTION = 0.05  # of antennas, with a delay anywhere up to the largest
POLARIZATION_DELAY_NS = 3.0
GAIN_SCATTER = 0.12  # natural logarithm
SEFD_SCATTER = 0.1
RIPPLES = 4  # cosines over the band, in amplitude and in phase
AMPLITUDE_RIPPLE, PHASE_RIPPLE_RAD = 0.04, 0.1
DEAD_GAIN = 0.05
WALK_HOURS, WALK_STEP_S = (-13.0, 25.0), 60.0  # of the random walks, around the calibrator's transit
TROPOSPHERE_S = 600.0  # in which the gradient changes


@dataclass(frozen=True)
class Array:
    """The antennas in the order of the correlator's inputs.

    Attributes
    ----------
    stations : 1-based station numbers, shape (antennas,).
    positions_m : all 117 slots relative to the site, ITRS, shape (117, 3).
    first, second : inputs of each baseline, autocorrelations included, shape (baselines,).
    """

    stations: NDArray[np.int64]
    positions_m: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Antenna numbers of the files, 0-based: station number minus one, also the slot, shape (antennas,)."""
        return self.stations - 1


def choose_stations(antennas: int) -> tuple[int, ...]:
    """Choose stations: a quarter outriggers for the long baselines, the rest evenly along the arms.

    Parameters
    ----------
    antennas : number of stations; more than there are live ones are taken from all 117.

    Returns
    -------
    1-based station numbers.
    """
    live = [station.number for station in stations() if station.live]
    numbers = live if antennas <= len(live) else [station.number for station in stations()]
    inner = [number for number in numbers if number < FIRST_OUTRIGGER]
    outer = [number for number in numbers if number >= FIRST_OUTRIGGER]
    outriggers = min(len(outer), max(1, round(antennas / 4), antennas - len(inner)))
    return tuple(_evenly(inner, antennas - outriggers) + _evenly(outer, outriggers))


def _evenly(numbers: list[int], count: int) -> list[int]:
    """`count` of the numbers, evenly spread, including the first and the last."""
    return [numbers[index] for index in np.linspace(0, len(numbers) - 1, count).round().astype(int)]


def build_array(antennas: int) -> Array:
    """Return the array of a run, with baselines in the correlator's order: for i, for j <= i: (j, i).

    Parameters
    ----------
    antennas : their number.
    """
    chosen = sorted(choose_stations(antennas), key=lambda number: (number < FIRST_INPUT, number))
    second, first = np.tril_indices(antennas)
    return Array(np.array(chosen, dtype=np.int64), drift.antenna_positions_m(), first, second)


@dataclass(frozen=True)
class Corruption:
    """Receivers by slot and polarisation.

    A gain g acts on a field E, and UVH5's visibility of baseline (1, 2) becomes conj(g1) g2 V12;
    in a Measurement Set, which holds the conjugate, g1 conj(g2) V12, so g is what CASA solves for. A delay tau means
    that the signal comes late: g has the factor exp(-2 pi i (f - band centre) tau).

    Attributes
    ----------
    gain : complex, at the band's centre at time zero, shape (slots, 2).
    delay_ns : shape (slots, 2).
    ripple : (amplitude, its phase, phase, its phase) of each cosine, shape (4, slots, 2, ripples).
    drift_rad_per_s : of the phase, shape (slots, 2).
    walk : logarithm of the amplitude plus i times the phase, since the start of WALK_HOURS at WALK_STEP_S, complex,
        shape (steps, slots, 2); one step without random walks.
    sefd_jy : shape (slots,).
    position_error_m : true position less that in the files, ITRS, shape (slots, 3).
    receives : 0 for dead antennas, else 1, shape (slots,); every second of the dead also has gain 0.
    """

    gain: NDArray[np.complex128]
    delay_ns: NDArray[np.float64]
    ripple: NDArray[np.float64]
    drift_rad_per_s: NDArray[np.float64]
    walk: NDArray[np.complex128]
    sefd_jy: NDArray[np.float64]
    position_error_m: NDArray[np.float64]
    receives: NDArray[np.float64]

    def gains(self, slots: NDArray[np.int64], freqs_hz: NDArray[np.float64], seconds: float) -> NDArray[np.complex128]:
        """Return gains.

        Parameters
        ----------
        slots : 0-based antenna slots, shape (slots,).
        freqs_hz : shape (channels,).
        seconds : time since the calibrator's transit.

        Returns
        -------
        complex, shape (slots, channels, 2).
        """
        x = (freqs_hz - BAND.bottom_hz) / (BAND.top_hz - BAND.bottom_hz)
        orders = np.arange(1, RIPPLES + 1)
        cycles = (2 * np.pi * orders * x[:, np.newaxis])[np.newaxis, :, np.newaxis]  # (1, channels, 1, ripples)
        amplitude, amplitude_offset, phase, phase_offset = self.ripple[:, slots, np.newaxis]
        logarithm = np.sum(amplitude * np.cos(cycles + amplitude_offset), axis=-1)
        angle = np.sum(phase * np.cos(cycles + phase_offset), axis=-1)
        angle += seconds * self.drift_rad_per_s[slots, np.newaxis]
        offset_hz = (freqs_hz - BAND.centre_hz)[np.newaxis, :, np.newaxis]
        angle -= 2e-9 * np.pi * self.delay_ns[slots, np.newaxis] * offset_hz
        walked = self._walked(seconds)[slots, np.newaxis]
        return np.asarray(self.gain[slots, np.newaxis] * np.exp(logarithm + 1j * angle + walked))

    def _walked(self, seconds: float) -> NDArray[np.complex128]:
        """The random walks at a time, linear between steps, shape (slots, 2)."""
        position = np.clip((seconds - 3600 * WALK_HOURS[0]) / WALK_STEP_S, 0, len(self.walk) - 1)
        before = min(int(position), max(0, len(self.walk) - 2))
        after = min(before + 1, len(self.walk) - 1)
        return np.asarray(self.walk[before] + (position - before) * (self.walk[after] - self.walk[before]))


def draw_corruption(options: SimulateOptions, array: Array) -> Corruption:
    """Draw the receivers of a run; without `options.corrupt` they are perfect except for dead antennas.

    Parameters
    ----------
    options, array : of the run.
    """
    rng = np.random.default_rng([options.seed, 1])
    slots = len(array.positions_m)
    shape = (slots, POLARIZATIONS)
    size = 1.0 if options.corrupt else 0.0
    gain = np.exp(size * (GAIN_SCATTER * rng.standard_normal(shape) + 2j * np.pi * rng.random(shape)))
    common_ns = np.clip(options.delay_rms_ns * rng.standard_normal(slots), -LARGEST_DELAY_NS, LARGEST_DELAY_NS)
    stray = rng.random(slots) < STRAY_FRACTION
    stray_ns = rng.uniform(-LARGEST_DELAY_NS, LARGEST_DELAY_NS, slots)
    common_ns = np.where(stray & (options.delay_rms_ns > 0), stray_ns, common_ns)
    delay_ns = size * (common_ns[:, np.newaxis] + POLARIZATION_DELAY_NS * rng.standard_normal(shape))
    ripple_shape = (*shape, RIPPLES)
    ripple = np.stack(
        [
            size * AMPLITUDE_RIPPLE * rng.standard_normal(ripple_shape),
            2 * np.pi * rng.random(ripple_shape),
            size * PHASE_RIPPLE_RAD * rng.standard_normal(ripple_shape),
            2 * np.pi * rng.random(ripple_shape),
        ]
    )
    drift = np.deg2rad(options.phase_drift_deg_per_hour) / 3600.0 * rng.standard_normal(shape)
    sefd_jy = SEFD_JY * np.exp(size * SEFD_SCATTER * rng.standard_normal(slots))
    receives = np.ones(slots)
    for index, number in enumerate(dead_numbers(options, array)):
        receives[number] = 0.0
        gain[number] *= DEAD_GAIN if index % 2 == 0 else 0.0
    position_rng = np.random.default_rng([options.seed, 9])
    position_error_m = options.position_rms_mm / 1e3 * position_rng.standard_normal((slots, 3))
    walk = _draw_walks(options, array)
    return Corruption(gain, delay_ns, ripple, drift, walk, sefd_jy, position_error_m, receives)


def _draw_walks(options: SimulateOptions, array: Array) -> NDArray[np.complex128]:
    """Random walks that are 0 at the transit, and the troposphere's gradient; see `Corruption.walk`."""
    slots = len(array.positions_m)
    if not (options.phase_walk_deg or options.amplitude_walk or options.troposphere_deg_per_km):
        return np.zeros((1, slots, POLARIZATIONS), dtype=np.complex128)
    rng = np.random.default_rng([options.seed, 8])
    steps = round((WALK_HOURS[1] - WALK_HOURS[0]) * 3600 / WALK_STEP_S) + 1
    sizes = (options.amplitude_walk, np.deg2rad(options.phase_walk_deg))
    noise = rng.standard_normal((2, steps, slots, POLARIZATIONS)) * np.sqrt(WALK_STEP_S / 3600)
    amplitude, phase = (size * np.cumsum(part, axis=0) for size, part in zip(sizes, noise, strict=True))
    # The gradient is a Gaussian process with the correlation exp(-t / TROPOSPHERE_S), the same in both polarisations.
    correlation = np.exp(-WALK_STEP_S / TROPOSPHERE_S)
    gradient = rng.standard_normal((steps, 2)) * np.sqrt(1 - correlation**2)
    gradient[0] /= np.sqrt(1 - correlation**2)
    for step in range(1, steps):
        gradient[step] += correlation * gradient[step - 1]
    ground_km = array.positions_m @ drift.horizon_axes()[:2].T / 1e3
    phase += (np.deg2rad(options.troposphere_deg_per_km) * gradient @ ground_km.T)[..., np.newaxis]
    walk = amplitude + 1j * phase
    transit = round(-WALK_HOURS[0] * 3600 / WALK_STEP_S)
    return np.asarray(walk - walk[transit])


def dead_numbers(options: SimulateOptions, array: Array) -> tuple[int, ...]:
    """Return the antenna numbers of dead antennas; one eastern outrigger is left as a reference antenna.

    Parameters
    ----------
    options, array : of the run.
    """
    rng = np.random.default_rng([options.seed, 2])
    eastern = [number for number in array.stations if number in EASTERN]
    candidates = [int(number) - 1 for number in array.stations if number not in eastern[:1]]
    return tuple(int(number) for number in rng.permutation(candidates)[: options.dead])
