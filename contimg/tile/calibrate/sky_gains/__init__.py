"""Gains of a tile from the catalogued sources in and around it."""
