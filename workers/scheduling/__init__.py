"""Messages, dispatch order and reconciliation."""
