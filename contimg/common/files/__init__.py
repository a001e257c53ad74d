"""Files on disk: staged writing and what a file system can do."""
