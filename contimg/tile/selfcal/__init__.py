"""Self-calibration of a tile."""
