"""Campaigns in the store: their jobs, cost, comparison, promotion and deletion."""
