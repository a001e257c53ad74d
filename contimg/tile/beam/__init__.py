"""Measurement of the primary beam from sources that drift through it."""
