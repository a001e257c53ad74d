"""Antennas that have power but hardly see the calibrator, and what is wrong with each.

With X and Y exchanged at one end, XX is the product of two independent polarisations and shows no fringes of an
unpolarised source but what leaks between the receptors. Two such antennas fringe with one another and give themselves
away. A lone one is told by its leakage: the healthy antennas, added in phase towards the calibrator, are one sensitive
telescope to hold it against. One without leakage cannot be told from one without signal.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.formats.ms.info import MSInfo
from contimg.quality.caltables import finite_median

CROSSED = "receptors crossed: fringes only with others like it"
LEAKING = "receptors crossed, most likely: {share:.1%} of the fringes that its power is worth, as leakage leaves"
TURNING = "fringes turn from minute to minute: its position is wrong, or its cable another antenna's"
BLIND = "sees no fringes of the calibrator: receptors crossed without leakage, position far wrong, or no signal"
FAINT = 0.2  # of the fringes that the array has for the same total power; leakage is a few per cent
_PADDING = 4
_DETECTED = 8.0  # peak of the delay spectrum over its rms; noise alone reaches 5


def total_powers(tile: MSInfo) -> NDArray[np.float64]:
    """Mean autocorrelation of each antenna slot, shape (slots,); NaN without one."""
    slots = len(tile.antenna_names)
    with table(str(tile.path), ack=False) as main:
        rows = main.query("ANTENNA1 == ANTENNA2", columns="ANTENNA1, DATA, FLAG")
        if not rows.nrows():
            return np.full(slots, np.nan)
        which, good = rows.getcol("ANTENNA1"), ~rows.getcol("FLAG")
        total = np.bincount(which, np.where(good, np.abs(rows.getcol("DATA")), 0).sum(axis=(1, 2)), slots)
    count = np.bincount(which, good.sum(axis=(1, 2)), slots)
    return np.asarray(np.divide(total, count, out=np.full(slots, np.nan), where=count > 0))


def faint(gains: NDArray[np.complex128], powers: NDArray[np.float64]) -> list[int]:
    """Slots whose solved gains are far too small for their total power in both receptors: what they hold is leakage.

    gains : (slots, channels, receptors), NaN without a solution; powers : (slots,).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = finite_median(np.abs(gains) ** 2 / powers[:, None, None], axis=1)
        little = share < FAINT**2 * finite_median(share, axis=(0, 1))
    return [int(slot) for slot in np.flatnonzero(little.all(axis=1))]


def explain(
    solving_set: Path,
    names: Sequence[str],
    blind: Sequence[str],
    gains: NDArray[np.complex128],
    powers: NDArray[np.float64],
) -> dict[str, str]:
    """Why each of the `blind` antennas has no solution, by name.

    Parameters
    ----------
    names : of all slots.
    gains : of the healthy antennas, NaN of the others, shape (slots, channels, receptors).
    powers : mean autocorrelations, shape (slots,).
    """
    slots = [names.index(name) for name in blind]
    with table(str(solving_set), ack=False) as main:
        first, second = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        fringing: set[int] = set()
        for one, other in combinations(sorted(slots), 2):
            rows = np.flatnonzero((first == one) & (second == other))
            if rows.size and _fringes(main, rows):
                fringing |= {one, other}
        return {
            names[slot]: CROSSED if slot in fringing else _alone(main, slot, gains, powers)
            for slot in slots
        }  # fmt: skip


def _alone(main: table, slot: int, gains: NDArray[np.complex128], powers: NDArray[np.float64]) -> str:
    """What is wrong with an antenna by its fringes with all healthy ones together."""
    seen = _against_all(main, slot, gains)
    lines = seen.mean(axis=0)
    if max(delay_peak(line) for line in lines.T) > _DETECTED:
        peaks = np.abs(np.fft.fft(lines, _PADDING * len(lines), axis=0)).max(axis=0) / len(lines)
        usual = np.nanmedian(np.abs(gains) ** 2 / powers[:, None, None])
        return LEAKING.format(share=np.sqrt(np.mean(peaks**2) / powers[slot] / usual))
    turning = np.mean([max(delay_peak(line) for line in minute.T) > _DETECTED for minute in seen])
    return TURNING if turning >= 0.5 else BLIND


def _against_all(main: table, slot: int, gains: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """An antenna's gain by least squares, its partners' gains known, shape (minutes, channels, receptors)."""
    mine = main.query(f"ANTENNA1 == {slot} || ANTENNA2 == {slot}")
    names = ("DATA", "FLAG", "ANTENNA1", "ANTENNA2", "TIME")
    data, flags, first, second, times = (mine.getcol(name) for name in names)
    reversed_ = second == slot
    data = np.where(reversed_[:, None, None], data.conj(), data)
    partner = gains[np.where(reversed_, first, second)]
    good = ~flags & np.isfinite(partner)
    stamps, minute = np.unique(times, return_inverse=True)
    top = np.zeros((stamps.size, *data.shape[1:]), dtype=np.complex128)
    bottom = np.zeros(top.shape)
    np.add.at(top, minute, np.where(good, data * partner, 0))
    np.add.at(bottom, minute, np.where(good, np.abs(partner) ** 2, 0))
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _fringes(main: table, rows: NDArray[np.int64]) -> bool:
    """Whether a baseline shows a delay in any receptor, its minutes added in phase."""
    chosen = main.selectrows(rows)
    data = np.where(chosen.getcol("FLAG"), 0, chosen.getcol("DATA")).mean(axis=0)
    return any(delay_peak(data[:, receptor]) > _DETECTED for receptor in range(data.shape[1]))


def delay_peak(line: NDArray[np.complexfloating]) -> float:
    """Peak over rms of a line's delay spectrum, shape (channels,) -> number."""
    spectrum = np.abs(np.fft.fft(line, _PADDING * line.size))
    return float(spectrum.max() / max(np.sqrt(np.mean(spectrum**2)), 1e-30))
