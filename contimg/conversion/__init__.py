"""The convert stage: the subband files of one group become one Measurement Set."""

from contimg.conversion.options import ENVIRONMENT, ConvertOptions
from contimg.conversion.product import FlagCounts, MeasurementSet
from contimg.conversion.stage import convert

__all__ = ["ENVIRONMENT", "ConvertOptions", "FlagCounts", "MeasurementSet", "convert"]
