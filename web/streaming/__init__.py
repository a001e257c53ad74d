"""The stream: status and commands."""
