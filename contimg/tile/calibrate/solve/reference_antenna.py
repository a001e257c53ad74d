"""Which antenna the phases are referred to, and which baselines can carry a long-baseline solution."""

import re

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S

EASTERN_OUTRIGGERS = range(103, 109)
_ENOUGH_DATA = 0.5
_FEWEST_LONG_BASELINES = 4  # what CASA asks for
_FORESHORTENING = 1.2  # CASA selects on projected lengths


def station_number(name: str) -> int | None:
    """The number at the end of an antenna's name, for example 103 of pad103."""
    found = re.search(r"(\d+)$", name)
    return int(found.group(1)) if found else None


def reference_antenna(tile: MSInfo, unflagged: NDArray[np.float64]) -> int:
    """The slot of the reference antenna: an eastern outrigger in good health, else the antenna with most data.

    Parameters
    ----------
    unflagged : fraction of each slot's cross-correlations that are usable, shape (slots,); 0 for a dead antenna.

    Raises
    ------
    BadInput : no antenna has any data.
    """
    if not (unflagged > 0).any():
        raise BadInput(f"{tile.path}: no antenna has unflagged data, so there is no reference antenna")
    outriggers = [
        slot
        for slot in tile.antennas
        if station_number(tile.antenna_names[slot]) in EASTERN_OUTRIGGERS and unflagged[slot] > _ENOUGH_DATA
    ]
    among = outriggers or list(tile.antennas)
    return int(max(among, key=lambda slot: (unflagged[slot], -slot)))


def long_baselines_serve(tile: MSInfo, unflagged: NDArray[np.float64], least_wavelengths: float) -> bool:
    """Whether every live antenna has enough baselines longer than this for a solution of its own."""
    live = tile.antennas[unflagged[tile.antennas] > 0]
    positions = tile.antenna_positions_m[live]
    lengths = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    enough = lengths > _FORESHORTENING * least_wavelengths * C_M_S / float(tile.freqs_hz.min())
    return bool((enough.sum(axis=1) >= _FEWEST_LONG_BASELINES).all())
