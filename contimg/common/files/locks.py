"""Locks of files: taken, waited for up to a limit, and the process that holds one."""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from contimg.common.errors import Transient

LOCK_LIMIT_S = 10.0
LOCKS = Path("/proc/locks")
_POLL_S = 0.1
_UNKNOWN = "a process that is not known here, perhaps on another host"
Locked = TypeVar("Locked")


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


def wait_for_lock(acquire: Callable[[], Locked], path: Path, lock_file: Path | None = None) -> Locked:
    """Call a function until it gets a lock, for a limited time.

    Parameters
    ----------
    acquire : takes the lock, or raises BlockingIOError while another process holds it.
    path : what is locked, for the message.
    lock_file : the file that is locked in its place; `path` itself when not given.

    Returns
    -------
    what `acquire` returns.

    Raises
    ------
    Transient : another process holds the lock for longer than LOCK_LIMIT_S; the message has its id and command.
    """
    deadline = time.monotonic() + LOCK_LIMIT_S
    while True:
        try:
            return acquire()
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Transient(
                    f"{path}: locked for more than {LOCK_LIMIT_S:g} s by {describe_holders(lock_file or path)}; "
                    "close it there, or end that process"
                ) from None
        time.sleep(_POLL_S)


def describe_holders(path: Path) -> str:
    """Describe the processes on this machine that hold a lock on a file, by id and command.

    Parameters
    ----------
    path : the locked file.

    Returns
    -------
    such as `process 1213 (python flag.py)`, those that write before those that read; with `perhaps` where the kernel
    numbers the file's device otherwise than `stat`, as for btrfs, so that the file may be one of another device with
    the same inode number; says that it is not known where no process of this machine holds one.
    """
    try:
        status, lines = path.stat(), LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return _UNKNOWN
    device, inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", str(status.st_ino)
    locks = [(words, *words[5].rsplit(":", 1)) for words in (line.split() for line in lines if " -> " not in line)]
    is_known_device = any(listed == device for _, listed, _ in locks)
    on_file = [
        words
        for words, listed, number in locks
        if number == inode and (listed == device or not is_known_device) and words[4] != str(os.getpid())
    ]
    writers = [words for words in on_file if words[3] == "WRITE"]
    holders = {int(words[4]): "" for words in writers or on_file}
    for pid in holders:
        try:
            holders[pid] = " ".join(psutil.Process(pid).cmdline())
        except (psutil.Error, ValueError):
            holders[pid] = "of another container or user"
    names = [f"process {pid} ({command[:80]})" for pid, command in holders.items()]
    return ("" if is_known_device or not names else "perhaps ") + (", ".join(names) or _UNKNOWN)
