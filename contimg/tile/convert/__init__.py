"""The convert stage: the subband files of one group become one Measurement Set."""

from contimg.tile.convert.options import ENVIRONMENT, ConvertOptions
from contimg.tile.convert.result import FlagCounts, MeasurementSet
from contimg.tile.convert.run import convert

__all__ = ["ENVIRONMENT", "ConvertOptions", "FlagCounts", "MeasurementSet", "convert"]
