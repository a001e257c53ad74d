"""Selections of images: their conditions, and their files as a directory or an archive."""
