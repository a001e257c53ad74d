"""One subband file, UVH5 of the correlator's legacy layout or of any 1.x version: its header, checked, and its data."""

from contimg.formats.uvh5.header import SubbandHeader, read_header
from contimg.formats.uvh5.phasing import Fixed, Phasing, Sidereal, Unprojected
from contimg.formats.uvh5.reader import SubbandReader

__all__ = ["Fixed", "Phasing", "Sidereal", "SubbandHeader", "SubbandReader", "Unprojected", "read_header"]
