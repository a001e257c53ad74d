"""Events, alerts, metrics and status."""
