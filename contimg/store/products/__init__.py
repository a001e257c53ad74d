"""Measurement Sets and images."""
