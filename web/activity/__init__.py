"""Events, alerts, charts, workers and metrics."""
