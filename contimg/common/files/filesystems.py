"""The file system that a path lies on, by its name in /proc/mounts, and what can be relied on there."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from contimg.common.errors import ContimgError, Misconfigured, Transient

# Who may write to a file system besides this machine's kernel: nobody, other machines, or the host of a virtual machine
# and programs (foreign). Names as /proc/mounts has them; FUSE programs are `fuse.NAME`, foreign unless listed.
_NAMES = {
    "local": (
        "ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs nilfs2 vfat exfat ntfs3 fuseblk tmpfs ramfs "
        "overlay aufs fuse.fuse-overlayfs"
    ),
    "network": (
        "nfs nfs4 cifs smb3 ceph lustre beegfs gpfs glusterfs afs ocfs2 gfs2 orangefs "
        "fuse.sshfs fuse.glusterfs fuse.ceph fuse.ceph-fuse fuse.rclone fuse.s3fs fuse.juicefs"
    ),
    "foreign": "9p virtiofs vboxsf vmhgfs prl_fs fuse",
}
_WRITERS = {name: writers for writers, names in _NAMES.items() for name in names.split()}


@dataclass(frozen=True)
class FileSystem:
    """A kind of file system; `name` as in /proc/mounts, "unknown" where that file cannot be read."""

    name: str

    @property
    def is_local(self) -> bool:
        """Whether every process that can open its files runs on this machine, so that locks reach all of them."""
        return _WRITERS.get(self.name) == "local"

    @property
    def is_network(self) -> bool:
        """Whether other machines write to it: SQLite loses updates there."""
        return _WRITERS.get(self.name) == "network"

    @property
    def raises_events(self) -> bool:
        """Whether inotify reports every change; assumed of unlisted ones, where the scan finds what it misses."""
        return self.is_local or (self.name not in _WRITERS and not self.name.startswith("fuse."))

    @property
    def is_in_memory(self) -> bool:
        """Whether its files take memory from the processes."""
        return self.name in ("tmpfs", "ramfs")


def file_system(path: Path) -> FileSystem:
    """Find the file system that a path, or its nearest parent that exists, lies on.

    Parameters
    ----------
    path : file or directory, which need not exist; symbolic links are followed.

    Returns
    -------
    the one that is mounted at the deepest parent; its name is `unknown` when the table of mounts cannot be read.
    """
    target = path.resolve()
    try:
        mounts = psutil.disk_partitions(all=True)
    except OSError:
        mounts = []
    above = [mount for mount in reversed(mounts) if target.is_relative_to(mount.mountpoint)]
    # Of several at one mount point the last one is on top.
    deepest = max(above, key=lambda mount: len(Path(mount.mountpoint).parts), default=None)
    return FileSystem(deepest.fstype if deepest else "unknown")


def write_fault(path: Path, min_free_bytes: int = 1 << 20) -> ContimgError | None:
    """Return why nothing can be written to a file or directory, as an error to raise or show; None when it can be.

    A quota is not seen: only writing shows it.

    Parameters
    ----------
    path : file or directory; where it does not exist, its nearest parent that does.
    min_free_bytes : space below which its disk counts as full.

    Returns
    -------
    Misconfigured where rights are missing, Transient where the file system is read-only or full.
    """
    existing = next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110 (no error)
    disk = os.statvfs(existing)
    if disk.f_flag & os.ST_RDONLY:
        return Transient(f"{path}: its file system is read-only; mount it for writing")
    if not os.access(existing, os.W_OK | (os.X_OK if existing.is_dir() else 0), effective_ids=True):
        uid, owner, denied = os.geteuid(), existing.stat().st_uid, "it" if existing == path else existing
        return Misconfigured(
            f"{path}: uid {uid} cannot write to {denied}, which belongs to uid {owner}; run as that user, or "
            f"chown {uid} {existing}"
        )
    if (free_bytes := disk.f_bavail * disk.f_frsize) < min_free_bytes:
        return Transient(f"{path}: no space left on its disk ({free_bytes / 1e6:.1f} MB free); free some space")
    if disk.f_files and not disk.f_favail:
        return Transient(f"{path}: no inodes left on its disk; delete some files")
    return None
