"""Stages of a tile: convert, flag, calibrate, self-calibrate and image."""
