"""UVH5 subband files, in the correlator's legacy layout or of any version 1.x: names, headers and data."""
