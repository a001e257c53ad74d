"""The convert stage: from the subband files of one group to one Measurement Set."""

from contimg.tile.convert.options import ConvertOptions
from contimg.tile.convert.run import Conversion, convert

__all__ = ["Conversion", "ConvertOptions", "convert"]
