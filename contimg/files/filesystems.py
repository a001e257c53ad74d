"""The file system that a path lies on, by its name in /proc/mounts, and what can be relied on there; locks."""

import fcntl
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


class Sharing(StrEnum):
    """Who may write to a file system besides this machine's kernel."""

    LOCAL = "local"  # nobody
    NETWORK = "network"  # other machines
    FOREIGN = "foreign"  # the host of a virtual machine, or a program (FUSE)
    UNKNOWN = "unknown"


# Names as /proc/mounts has them. FUSE programs are `fuse.NAME`; those that are not listed are FOREIGN.
_NAMES = {
    Sharing.LOCAL: (
        "ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs nilfs2 vfat exfat ntfs3 fuseblk tmpfs ramfs "
        "overlay aufs fuse.fuse-overlayfs"
    ),
    Sharing.NETWORK: (
        "nfs nfs4 cifs smb3 ceph lustre beegfs gpfs glusterfs afs ocfs2 gfs2 orangefs "
        "fuse.sshfs fuse.glusterfs fuse.ceph fuse.ceph-fuse fuse.rclone fuse.s3fs fuse.juicefs"
    ),
    Sharing.FOREIGN: "9p virtiofs vboxsf vmhgfs prl_fs fuse fuse.vmhgfs-fuse fuse.grpcfuse fuse.osxfs",
}
_SHARING = {name: sharing for sharing, names in _NAMES.items() for name in names.split()}
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True)
class FileSystem:
    """A kind of file system; `name` as in /proc/mounts, "unknown" where that file cannot be read."""

    name: str

    @property
    def sharing(self) -> Sharing:
        """Who may write to it."""
        return _SHARING.get(self.name, Sharing.FOREIGN if self.name.startswith("fuse.") else Sharing.UNKNOWN)

    @property
    def is_local(self) -> bool:
        """Whether every process that can open its files runs on this machine, so that locks reach all of them."""
        return self.sharing is Sharing.LOCAL

    @property
    def is_network(self) -> bool:
        """Whether other machines write to it: SQLite loses updates there."""
        return self.sharing is Sharing.NETWORK

    @property
    def raises_events(self) -> bool:
        """Whether inotify reports every change; assumed of unlisted ones, where the scan finds what it misses."""
        return self.sharing in (Sharing.LOCAL, Sharing.UNKNOWN)

    @property
    def is_in_memory(self) -> bool:
        """Whether its files take memory from the processes."""
        return self.name in _IN_MEMORY


def file_system(path: Path, mounts: Path = MOUNTS) -> FileSystem:
    """Find the file system that a path, or its nearest parent that exists, lies on.

    Parameters
    ----------
    path : file or directory, which need not exist; symbolic links are followed.
    mounts : table of mounts in the form of /proc/mounts, see proc_pid_mounts(5).

    Returns
    -------
    the one that is mounted at the deepest parent; its name is `unknown` when the table cannot be read.
    """
    target = path.resolve()
    name, depth = "unknown", -1
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return FileSystem(name)
    for line in lines:
        _, point, kind = line.split()[:3]
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point))
        if target.is_relative_to(mounted) and len(mounted.parts) >= depth:  # the last one mounted there is on top
            name, depth = kind, len(mounted.parts)
    return FileSystem(name)


def lock(path: Path) -> int:
    """Lock a file or directory for this process, until the returned descriptor is closed or the process ends.

    Parameters
    ----------
    path : file or directory that exists.

    Returns
    -------
    the descriptor that holds the lock (flock).

    Raises
    ------
    BlockingIOError : another process holds the lock.
    OSError : the path is gone, or its file system has no such locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of a file or directory; False where that cannot be found out.

    Parameters
    ----------
    path : what `lock` was called with.
    """
    try:
        os.close(lock(path))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
