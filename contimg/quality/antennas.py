"""Health of the antennas in one tile: the record of each polarisation. Light to import: no numerical library."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from contimg.formats.records import NO_UNIT, about


class AntennaState(StrEnum):
    """State of an antenna, or of one polarisation of it, in a tile."""

    GOOD = "good"
    UNSOLVED = "unsolved"
    CROSSED = "crossed"
    DEAD = "dead"


SEVERITY = {state: number for number, state in enumerate(AntennaState)}
"""By state, from good (0) to dead."""


@dataclass(frozen=True)
class AntennaNumbers:
    """One polarisation of an antenna in a tile or in the caltable set that was solved on it."""

    antenna: Annotated[str, about("Name of the antenna", example="103")]
    polarisation: Annotated[str, about("X or Y; I where there is one", example="X")]
    state: Annotated[AntennaState, about("good, unsolved, crossed or dead", example="good")]
    flagged_fraction: Annotated[
        float, about("Flagged part: of a tile's cross-correlations, of a set's solutions", "fraction", 0.04)
    ]
    reason: Annotated[str | None, about("Why the state is not good", example="98% flagged or zero")] = None
    amplitude: Annotated[
        float | None,
        about(
            "Median amplitude of a set's gains; of a tile that of its gains from the sky, over the set's",
            NO_UNIT,
            0.031,
        ),
    ] = None
    phase_deg: Annotated[
        float | None,
        about("Phase of a set's gain at the middle of the band; of a tile that of its gain from the sky", "deg", -41.0),
    ] = None
    snr: Annotated[float | None, about("Median signal to noise of the solutions", "ratio", 38.0)] = None
