"""Take out what is left of antennas whose solutions mostly failed: the rest held by chance and would add noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contimg.formats.ms.writable import writable

MOSTLY = 0.5  # of the channels at which the array has solutions


def clear_antennas(path: Path, slots: Sequence[int]) -> None:
    """Flag every solution of these antenna slots in a table, in place."""
    with writable(path) as main:
        flags = main.getcol("FLAG")
        flags[np.isin(main.getcol("ANTENNA1"), slots)] = True
        main.putcol("FLAG", flags)


def clear_failed(path: Path) -> int:
    """Flag receptors of a bandpass with most channels flagged altogether, in place; returns how many were cleared."""
    cleared = 0
    with writable(path) as main:
        flags = main.getcol("FLAG")
        solvable = ~flags.all(axis=0, keepdims=True)
        missing = (flags & solvable).sum(axis=1) / np.maximum(solvable.sum(axis=1), 1)
        for row, receptor in np.argwhere((missing > MOSTLY) & (missing < 1)):
            flags[row, :, receptor] = True
            cleared += 1
        if cleared:
            main.putcol("FLAG", flags)
    return cleared
