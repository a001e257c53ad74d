"""Calibration tables: sets, contents and interpolation."""
