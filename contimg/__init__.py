"""contimg: the DSA-110's live stream of subband files, turned into calibrated continuum images."""

__version__ = "0.1.0"
