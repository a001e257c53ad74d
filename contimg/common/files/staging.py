"""Writing a product so that it appears whole or not at all: under a temporary name, renamed at the end.

It is written beside its target, or in a scratch directory such as a tmpfs and then moved. What a file system refuses
(no space, read-only, gone) becomes one Transient, also where casacore raises a RuntimeError.
"""

import ctypes
import errno
import glob
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path

import psutil

from contimg.common.errors import BadInput, Transient
from contimg.common.files.filesystems import file_system

MARK = ".writing-"
_REPLACED = f"{MARK}old-"
RenameGuard = Callable[[], AbstractContextManager[None]]
_rename_guard: ContextVar[RenameGuard] = ContextVar("rename_guard", default=nullcontext)
_MARGIN = 1.1  # tables grow beyond what their data need
_MARGIN_BYTES = 64 << 20
_EMPTY_TABLES_BYTES = 8 << 20
_DISK_ERRORS = tuple(
    os.strerror(code)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENODEV)
)
_CASACORE_ERRORS = ("tracePWRITE", "write error", "cannot be created")  # its messages with no or a wrong reason

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def guarded_renames(guard: RenameGuard) -> Iterator[None]:
    """Make every rename of a product inside the block happen within `guard()`.

    A worker that was suspended beyond its lease would otherwise replace another worker's product.

    Parameters
    ----------
    guard : returns a context manager, which raises when the rename must not happen.
    """
    token = _rename_guard.set(guard)
    try:
        yield
    finally:
        _rename_guard.reset(token)


def rename_guard() -> AbstractContextManager[None]:
    """Return the context manager to rename a product in; without `guarded_renames` it does nothing."""
    return _rename_guard.get()()


@contextmanager
def staged(
    target: Path, scratch: Sequence[Path] = (), need_bytes: int = 0, durable: bool = False, replaces: bool = True
) -> Iterator[Path]:  # fmt: skip
    """Yield a temporary path, for a file or directory, that replaces `target` when the block ends without an exception.

    On any error the temporary is removed and the target stays as it was.

    Parameters
    ----------
    target : path of the product.
    scratch : directories to write in, the first that has `need_bytes` and a margin free; the product is then copied
        beside the target, flushed and renamed. Without one it is written beside the target.
    need_bytes : size of the product.
    durable : flush to the disk before the rename also what is written beside the target, to survive a power cut.
    replaces : whether the target may exist.

    Raises
    ------
    BadInput : the target exists, also when it appeared during the block, and `replaces` is False.
    Transient : the disk is full or cannot be written.
    """
    name = f"{target.name}{MARK}{uuid.uuid4().hex[:8]}"
    beside = target.with_name(name)
    temporary = beside
    try:
        with disk_errors(target):
            _refuse_existing(target, replaces)
            target.parent.mkdir(parents=True, exist_ok=True)
            _probe(target.parent)
            check_space(target, need_bytes)
            directory = next((directory for directory in scratch if has_space(directory, need_bytes)), target.parent)
            temporary = directory / name
            yield temporary
            if temporary != beside:
                if temporary.is_dir():
                    shutil.copytree(temporary, beside, copy_function=shutil.copyfile)
                else:
                    shutil.copyfile(temporary, beside)
                durable = True
            if durable:
                flush_tree(beside)
            with rename_guard():
                _refuse_existing(target, replaces)
                _replace(beside, target)
            if durable:
                _flush(target.parent)
    finally:
        remove(temporary)
        remove(beside)


def _refuse_existing(target: Path, replaces: bool) -> None:
    if not replaces and os.path.lexists(target):
        raise BadInput(f"{target}: exists and is not replaced; give another name, or ask for it to be replaced")


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn whatever the file system refuses inside the block into one Transient that names `target`.

    Parameters
    ----------
    target : path of the product.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from error
    except RuntimeError as error:
        reason = disk_error_reason(str(error))
        if reason is None:
            raise
        raise _unwritable(target, reason) from error


def disk_error_reason(message: str) -> str | None:
    """Return what the file system refused according to a message of casacore or CASA; None for another error.

    Parameters
    ----------
    message : of the exception.
    """
    reason = next((text for text in _DISK_ERRORS if text in message), None)
    if reason is None and any(text in message for text in _CASACORE_ERRORS):
        reason = f"its disk is probably full: {message.splitlines()[0]}"
    return reason


def _unwritable(target: Path, reason: str) -> Transient:
    return Transient(f"{final_path(target)}: cannot be written ({reason}); check disk and permissions")


def check_space(target: Path, need_bytes: int) -> None:
    """Raise Transient when the disk of `target` has less than `need_bytes` free.

    Parameters
    ----------
    target : path of the product.
    need_bytes : its size.
    """
    free = shutil.disk_usage(target.parent).free
    if free < need_bytes:
        raise Transient(
            f"{target}: needs {need_bytes / 1e6:.0f} MB and {free / 1e6:.0f} MB are free; free space on its disk"
        )


def has_space(directory: Path, need_bytes: int) -> bool:
    """Whether a directory can be written and has `need_bytes` and a margin free; memory too where it is a tmpfs.

    Parameters
    ----------
    directory : made when it does not exist.
    need_bytes : size of the product.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
        _probe(directory)
    except OSError:
        return False
    if file_system(directory).is_in_memory:
        free = min(free, psutil.virtual_memory().available // 2)
    return free >= need_bytes * _MARGIN + _MARGIN_BYTES


def _probe(directory: Path) -> None:
    """Make a file in a directory and remove it; raises what the file system refuses, inodes and quota included."""
    tempfile.TemporaryFile(dir=directory).close()


def flush_tree(path: Path) -> None:
    """Flush a file, or a directory with everything in it, to the disk.

    Parameters
    ----------
    path : the file or directory.
    """
    if not path.is_dir():
        _flush(path)
    for directory, _, names in os.walk(path):
        for name in (*names, ""):
            _flush(Path(directory) / name)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporaries(directory: Path) -> list[Path]:
    """Return temporary files that killed processes left in a directory; remove them only when nobody writes there.

    Parameters
    ----------
    directory : of the products.
    """
    return sorted(directory.glob(f"*{MARK}*"))


def final_path(path: Path) -> Path:
    """Return the path that a product under a temporary name gets at the end.

    Parameters
    ----------
    path : as `staged` yields it; any other path is returned as it is.
    """
    return path.with_name(path.name.partition(MARK)[0])


def restore_replaced(target: Path) -> bool:
    """Undo a replacement that was interrupted by a kill: give the old product its name back.

    Needed only on file systems that cannot exchange two names atomically.

    Parameters
    ----------
    target : path of the product.

    Returns
    -------
    whether there was an old product and no new one.
    """
    old = next(target.parent.glob(f"{glob.escape(target.name)}{_REPLACED}*"), None)
    if old is None or target.exists():
        return False
    old.rename(target)
    return True


def _replace(temporary: Path, target: Path) -> None:
    """Rename a product to its target; the old product is then at `temporary`, or removed."""
    if not target.is_dir():
        temporary.replace(target)
    elif not _exchange(temporary, target):
        # A directory cannot be renamed over another: the old one is renamed first.
        old = target.with_name(f"{target.name}{_REPLACED}{uuid.uuid4().hex[:8]}")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names atomically; False where the kernel or the file system cannot."""
    sys.audit("os.rename", str(first), str(second), -1, -1)  # as os.rename does
    try:
        failed = _libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    except AttributeError:  # no Linux, or an old one
        return False
    return not failed


def remove(path: Path) -> None:
    """Delete a file or a directory tree as far as it exists and can be deleted.

    Parameters
    ----------
    path : the file or directory.
    """
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def disk_reserve(beside: Path, need_bytes: int) -> Iterator[Callable[[], None]]:
    """Hold some space of a disk in a file during the block; yield a function that releases it.

    When casacore cannot flush a table while it closes it, it ends the whole process. A writer that uses casacore
    therefore reserves space first and releases it at the first error, so that the tables can be closed.

    Parameters
    ----------
    beside : the file is written next to this path.
    need_bytes : size of the product; a quarter of it is reserved, at least 8 and at most 96 MiB.

    Raises
    ------
    OSError : the disk is full.
    """
    path = beside.with_name(f"{beside.name}-reserve")
    reserved_bytes = min(max(need_bytes // 4, 8 << 20), 96 << 20)
    try:
        with path.open("wb") as file:
            # More for a moment: the empty tables need space, too.
            os.posix_fallocate(file.fileno(), 0, reserved_bytes + _EMPTY_TABLES_BYTES)
            file.truncate(reserved_bytes)
        yield partial(remove, path)
    finally:
        remove(path)


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a directory such as a Measurement Set.

    Parameters
    ----------
    path : file or directory.

    Raises
    ------
    OSError : it does not exist.
    """
    if not path.is_dir():
        return path.stat().st_size
    return sum((Path(directory) / name).stat().st_size for directory, _, names in os.walk(path) for name in names)
