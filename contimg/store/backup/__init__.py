"""Backups: the state of a deployment in one file, created while the stream runs, and restoring them."""

from contimg.store.backup.archive import Backup
from contimg.store.backup.deployment import back_up, restore

__all__ = ["Backup", "back_up", "restore"]
