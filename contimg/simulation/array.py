"""Which antennas a run has and in which order its correlator pairs them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import stations
from contimg.simulation import drift

FIRST_OUTRIGGER = 103
EASTERN = range(103, 109)  # outriggers that serve as reference antennas
# The correlator's inputs are not in order of station number; beginning with this station, these are not either,
# so some rows name the higher antenna first, as in real files.
FIRST_INPUT = 24


@dataclass(frozen=True)
class Array:
    """The antennas in the order of the correlator's inputs.

    Attributes
    ----------
    stations : 1-based station numbers, shape (antennas,).
    positions_m : all 117 slots relative to the site, ITRS, shape (117, 3).
    first, second : inputs that make each baseline, autocorrelations among them, shape (baselines,).
    """

    stations: NDArray[np.int64]
    positions_m: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Antenna numbers of the files, 0-based: station number less one, also the slot."""
        return self.stations - 1


def choose_stations(antennas: int) -> tuple[int, ...]:
    """That many stations: a quarter outriggers for the long baselines, the rest evenly along the arms.

    Of those that are live; of all where there are not as many.
    """
    live = [one.number for one in stations() if one.live]
    numbers = live if antennas <= len(live) else [one.number for one in stations()]
    inner = [number for number in numbers if number < FIRST_OUTRIGGER]
    outer = [number for number in numbers if number >= FIRST_OUTRIGGER]
    few = min(len(outer), max(1, round(antennas / 4), antennas - len(inner)))
    return tuple(_evenly(inner, antennas - few) + _evenly(outer, few))


def _evenly(numbers: list[int], count: int) -> list[int]:
    """`count` of the numbers, evenly spread, the first and the last among them."""
    return [numbers[place] for place in np.linspace(0, len(numbers) - 1, count).round().astype(int)]


def build_array(antennas: int) -> Array:
    """The array of a run of that many antennas, baselines in the correlator's order: for i, for j <= i: (j, i)."""
    chosen = sorted(choose_stations(antennas), key=lambda number: (number < FIRST_INPUT, number))
    second, first = np.tril_indices(antennas)
    return Array(np.array(chosen, dtype=np.int64), drift.antenna_positions_m(), first, second)
