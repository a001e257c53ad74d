"""The calibrate stage: flag, solve on a catalogued calibrator in the beam, apply the valid tables."""

from contimg.calibration.options import ENVIRONMENT, LIMITS_ENVIRONMENT, CalibrateOptions, SolutionLimits
from contimg.calibration.sets import CalibrationSet, scan
from contimg.calibration.stage import CalibratedSet, calibrate

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
