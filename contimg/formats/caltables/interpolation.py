"""Solutions between the times and at the frequencies they were made for, as CASA's `linear` has them.

In time amplitude, phase (the short way round) and delay go straight from one solution to the next; before the first and
after the last that one holds. Between two solutions of which one is flagged there is none. In frequency nothing is
interpolated: a channel has its own solution or none.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bracket = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def bracket(times_mjd_s: NDArray[np.float64], time_mjd_s: float) -> Bracket:
    """The solutions before and after a time, and how far it is from the one to the other, each of shape (channels,).

    times_mjd_s : ascending, shape (times, channels).
    """
    last = len(times_mjd_s) - 1
    before = np.clip((times_mjd_s <= time_mjd_s).sum(axis=0) - 1, 0, last)
    columns = np.arange(times_mjd_s.shape[1])
    past = times_mjd_s[before, columns]
    after = np.where(past < time_mjd_s, np.minimum(before + 1, last), before)
    span = times_mjd_s[after, columns] - past
    part = np.divide(time_mjd_s - past, span, out=np.zeros_like(span), where=span > 0)
    return before, after, part


def gains_between(gains: NDArray[np.complex128], at: Bracket) -> NDArray[np.complex128]:
    """Gains (times, slots, channels, receptors) at a bracketed time, shape (slots, channels, receptors)."""
    one, other, part = _ends(gains, at)
    with np.errstate(invalid="ignore"):
        size = (1 - part) * np.abs(one) + part * np.abs(other)
        return np.asarray(size * np.exp(1j * (np.angle(one) + part * np.angle(other / one))))


def delays_between(delays: NDArray[np.float64], at: Bracket) -> NDArray[np.float64]:
    """The same for real numbers."""
    one, other, part = _ends(delays, at)
    return np.asarray((1 - part) * one + part * other)


def nearest(
    solved_hz: NDArray[np.float64], reach_hz: NDArray[np.float64], freqs_hz: NDArray[np.float64]
) -> NDArray[np.int64]:
    """For each frequency the index of the solution that holds there, -1 if none; `solved_hz` ascends."""
    middles = 0.5 * (solved_hz[1:] + solved_hz[:-1])
    found = np.searchsorted(middles, freqs_hz)
    return np.where(np.abs(solved_hz[found] - freqs_hz) <= reach_hz[found], found, -1)


def _ends(values: NDArray[Any], at: Bracket) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    before, after, part = at
    channels = np.arange(values.shape[2])
    one, other = (np.moveaxis(values[which, :, channels], 0, 1) for which in (before, after))
    return one, other, part[None, :, None]
