"""Visibilities of the sky of a tile."""
