"""Formats: UVH5 subband files, Measurement Sets and calibration tables."""
