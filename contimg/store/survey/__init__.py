"""Nights, campaigns and copies of products in the store."""
