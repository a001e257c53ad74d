"""Epochs: the tiles of one sidereal window as one mosaic."""
