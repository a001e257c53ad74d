"""The queue and its leases."""
