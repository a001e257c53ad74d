"""Epochs: which tiles they wait for, and their mosaics."""
