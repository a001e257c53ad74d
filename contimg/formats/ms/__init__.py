"""The Measurement Set: geometry, writing, and reading back what later stages need to know."""
