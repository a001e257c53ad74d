"""The calibrate stage: flag, solve on a catalogued calibrator in the beam, apply the valid tables."""

from contimg.formats.caltables.caltable_set import CalibrationSet, scan
from contimg.tile.calibrate.options import ENVIRONMENT, LIMITS_ENVIRONMENT, CalibrateOptions, SolutionLimits
from contimg.tile.calibrate.run import CalibratedSet, calibrate

__all__ = [
    "ENVIRONMENT",
    "LIMITS_ENVIRONMENT",
    "CalibrateOptions",
    "CalibratedSet",
    "CalibrationSet",
    "SolutionLimits",
    "calibrate",
    "scan",
]
