"""The producer: scanner and watcher of the incoming directory."""
