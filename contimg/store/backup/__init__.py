"""The state of a deployment in one file, taken while the stream runs, and back again."""

from contimg.store.backup.archive import Backup
from contimg.store.backup.create import back_up
from contimg.store.backup.restore import restore

__all__ = ["Backup", "back_up", "restore"]
