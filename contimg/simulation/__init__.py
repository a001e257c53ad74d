"""A synthetic DSA-110: drifting sky, receivers with errors, and subband files as the real correlator writes them.

The geometry here is derived from Astropy alone and shares no code with the converter's, so that tests detect
a mistake in either.
"""

from contimg.simulation.options import SimulateOptions
from contimg.simulation.plan import TilePlan, plan_tiles
from contimg.simulation.sky import CALIBRATOR, Source
from contimg.simulation.tile import SimulatedTile, simulate, simulate_tile

__all__ = [
    "CALIBRATOR",
    "SimulateOptions",
    "SimulatedTile",
    "Source",
    "TilePlan",
    "plan_tiles",
    "simulate",
    "simulate_tile",
]
