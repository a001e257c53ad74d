"""The reference antenna of the phases, and whether long baselines suffice to solve on."""

import re

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.ms.info import MSInfo
from contimg.instrument.dsa110 import C_M_S

EASTERN_OUTRIGGERS = range(103, 109)
_MIN_UNFLAGGED = 0.5
_MIN_LONG_BASELINES = 4  # per antenna, as CASA requires
_FORESHORTENING = 1.2  # CASA selects on projected lengths


def parse_station_number(name: str) -> int | None:
    """Parse the number at the end of an antenna's name, for example 103 of pad103.

    Parameters
    ----------
    name : as in the antenna table.

    Returns
    -------
    The number, or None where the name does not end in one.
    """
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else None


def rank_reference_antennas(ms: MSInfo, unflagged: NDArray[np.float64]) -> list[int]:
    """Rank the slots of live antennas as reference: eastern outriggers with enough data, then by the amount of data.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    unflagged : fraction of each slot's cross-correlations that are usable, shape (slots,); 0 for a dead antenna.

    Returns
    -------
    The slots, the best first.

    Raises
    ------
    BadInput : no antenna has any data.
    """
    if not (unflagged > 0).any():
        raise BadInput(f"{ms.path}: no antenna has unflagged data, so there is no reference antenna")

    def rank(slot: int) -> tuple[bool, float, int]:
        is_outrigger = parse_station_number(ms.antenna_names[slot]) in EASTERN_OUTRIGGERS
        return not (is_outrigger and unflagged[slot] > _MIN_UNFLAGGED), -unflagged[slot], slot

    return sorted((int(slot) for slot in ms.antennas if unflagged[slot] > 0), key=rank)


def has_enough_long_baselines(ms: MSInfo, unflagged: NDArray[np.float64], min_wavelengths: float) -> bool:
    """Whether every live antenna has enough baselines longer than a limit for a solution of its own.

    Parameters
    ----------
    ms : metadata of the Measurement Set.
    unflagged : usable fraction of each slot's data, shape (slots,).
    min_wavelengths : the limit at the lowest frequency, wavelengths.
    """
    live = ms.antennas[unflagged[ms.antennas] > 0]
    positions = ms.antenna_positions_m[live]
    lengths_m = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    is_long = lengths_m > _FORESHORTENING * min_wavelengths * C_M_S / float(ms.freqs_hz.min())
    return bool((is_long.sum(axis=1) >= _MIN_LONG_BASELINES).all())
