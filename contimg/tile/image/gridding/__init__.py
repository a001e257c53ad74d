"""Visibilities, weights and gridding."""
