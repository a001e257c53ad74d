"""Sources: light curves, variability, candidates."""
