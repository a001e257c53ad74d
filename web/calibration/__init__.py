"""Caltable sets."""
