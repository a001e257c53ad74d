"""Subband files and groups."""
