"""CLEAN, restoring beam and WSClean."""
