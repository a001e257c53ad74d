"""Tiles: groups, images and sky."""
