"""Solving on a calibrator with CASA."""
