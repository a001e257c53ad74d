"""Antennas that have power but do not see the calibrator, and which of them have their receptors crossed.

With X and Y exchanged at one end, XX is the product of two independent polarisations and shows no fringes of an
unpolarised source. Two such antennas fringe with one another, and so give themselves away; a lone one cannot be told
from an antenna at a wrong place or without signal.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

CROSSED = "receptors crossed: fringes only with others like it"
BLIND = "sees no fringes of the calibrator: receptors crossed, position wrong, or no signal"
_PADDING = 4
_DETECTED = 8.0  # peak of the delay spectrum over its rms; noise alone reaches 5


def explain(solving_set: Path, names: Sequence[str], blind: Sequence[str]) -> dict[str, str]:
    """Why each of the `blind` antennas has no solution, by name; `names` are of all slots."""
    slots = [names.index(name) for name in blind]
    with table(str(solving_set), ack=False) as main:
        first, second = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
        fringing: set[int] = set()
        for one, other in combinations(sorted(slots), 2):
            rows = np.flatnonzero((first == one) & (second == other))
            if rows.size and _fringes(main, rows):
                fringing |= {one, other}
    return {names[slot]: CROSSED if slot in fringing else BLIND for slot in slots}


def _fringes(main: table, rows: NDArray[np.int64]) -> bool:
    """Whether a baseline shows a delay in any receptor, its minutes added in phase."""
    chosen = main.selectrows(rows)
    data = np.where(chosen.getcol("FLAG"), 0, chosen.getcol("DATA")).mean(axis=0)
    return any(delay_peak(data[:, receptor]) > _DETECTED for receptor in range(data.shape[1]))


def delay_peak(line: NDArray[np.complex64]) -> float:
    """Peak over rms of a line's delay spectrum, shape (channels,) -> number."""
    spectrum = np.abs(np.fft.fft(line, _PADDING * line.size))
    return float(spectrum.max() / max(np.sqrt(np.mean(spectrum**2)), 1e-30))
