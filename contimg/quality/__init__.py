"""Limits and grades of products."""
