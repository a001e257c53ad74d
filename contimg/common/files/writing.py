"""Atomic writing of small files; a file that replaces another one has its owner, group and mode."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o600, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file beside the target and rename it at the end: readers see the old or the new content.

    Parameters
    ----------
    path : target, in a directory that exists.
    mode : permissions of a new file, in force from its first byte; a replaced file keeps its own.
    durable : whether the content is flushed to the disk before the rename, so that it survives a power failure.

    Raises
    ------
    OSError; after any exception the target is unchanged and no temporary file is left.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        error.filename = str(path)  # not the temporary name
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            yield file
            file.flush()
            adopt_owner(Path(temporary), path)
            if durable:
                os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def adopt_owner(path: Path, target: Path) -> None:
    """Give a file the owner, group and mode of the file that it is about to replace.

    A file that root adds to a directory of another user becomes that user's: a command that an operator runs as root
    must not leave a file that the service cannot use. Where owner and group cannot be set, the file is written all the
    same.

    Parameters
    ----------
    path : the new file.
    target : the path that it gets; without a file there, the owner and the group are those of the directory.
    """
    try:
        replaced = target.stat()
        path.chmod(stat.S_IMODE(replaced.st_mode))
    except FileNotFoundError:
        replaced = target.parent.stat()
        if os.geteuid() != 0:
            return
    owner = replaced.st_uid if os.geteuid() == 0 else -1  # only root can give a file away
    with suppress(OSError):  # EPERM; EINVAL of ids that a container does not map; ENOTSUP, ENOSYS of a file system
        os.chown(path, owner, replaced.st_gid)


def write_text(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a UTF-8 text file as `atomic_file` does.

    Parameters
    ----------
    path : target, in a directory that exists.
    text : the whole content.
    mode : permissions of a new file.
    durable : whether the content is flushed to the disk before the rename.

    Raises
    ------
    OSError : the file cannot be written; the target is then unchanged.
    """
    with atomic_file(path, mode=mode, durable=durable) as file:
        file.write(text.encode())


def create_empty(path: Path, *, mode: int = 0o600) -> None:
    """Create an empty file that belongs to the owner and group of its directory; an existing file is not touched.

    Parameters
    ----------
    path : the file, in a directory that exists.
    mode : permissions of the file.

    Raises
    ------
    OSError : the file cannot be created.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb"), suppress(OSError):  # as in `adopt_owner`
        os.fchmod(handle, mode)
        directory = path.parent.stat()
        os.chown(path, directory.st_uid, directory.st_gid)
