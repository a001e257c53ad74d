"""The state of a deployment in one file, taken while the stream runs, and back again."""

from contimg.backup.archive import Backup, read_backup
from contimg.backup.restoring import restore
from contimg.backup.taking import back_up

__all__ = ["Backup", "back_up", "read_backup", "restore"]
