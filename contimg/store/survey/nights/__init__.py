"""Nights of the store: records, one night in detail, and the queries over a span of them."""
