"""Executing a stage under a lease."""
