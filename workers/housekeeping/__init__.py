"""Periodic tasks: disks, retention, orphans, samples and alerts."""
