"""Variability of sources over epochs: statistics, normalisation of epochs, association, candidates."""
