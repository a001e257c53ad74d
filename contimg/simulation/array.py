"""The antennas of a run and the order of their baselines."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.instrument.dsa110 import stations
from contimg.simulation import drift

FIRST_OUTRIGGER = 103
EASTERN = range(103, 109)  # outriggers that serve as reference antennas
# The correlator's inputs are not in order of station number. They start with this station here, so that some rows
# have the higher antenna first, as in real files.
FIRST_INPUT = 24


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
