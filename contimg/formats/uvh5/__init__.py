"""UVH5 subband files, in the correlator's legacy layout or of any version 1.x: names, headers and data."""

from contimg.formats.uvh5.header import SubbandHeader, read_header
from contimg.formats.uvh5.phasing import Fixed, Phasing, Sidereal, Unprojected
from contimg.formats.uvh5.reader import SubbandReader

__all__ = ["Fixed", "Phasing", "Sidereal", "SubbandHeader", "SubbandReader", "Unprojected", "read_header"]
