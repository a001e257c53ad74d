"""Sources of the sky: measurements, statistics, light curves, candidates."""
