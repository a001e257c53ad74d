"""Errors, options, units and files: what every other package uses."""
