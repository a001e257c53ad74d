"""A product appears whole or not at all: written under a temporary name, renamed at the end.

It is written beside its target, or in a room such as a tmpfs or a scratch disk and then moved. What a file system
refuses (no space, read-only, gone) becomes one Transient, casacore's RuntimeErrors included.
"""

import ctypes
import errno
import glob
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path

import psutil

from contimg.errors import Transient
from contimg.files.filesystems import file_system

MARK = ".writing-"
_ASIDE = f"{MARK}old-"
Permit = Callable[[], AbstractContextManager[None]]
_permit: ContextVar[Permit] = ContextVar("permit", default=nullcontext)
_MARGIN = 1.1  # tables grow a little past what their data need
_MARGIN_BYTES = 64 << 20
_EMPTY_TABLES_BYTES = 8 << 20
_REFUSALS = tuple(
    os.strerror(code)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENODEV)
)

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CASACORES_WORDS = ("tracePWRITE", "write error", "cannot be created")  # where it gives no reason or a wrong one


@contextmanager
def renaming_under(permit: Permit) -> Iterator[None]:
    """Inside the block every rename of a product happens within `permit()`, which raises when it must not happen.

    A worker that was frozen past its lease and thawed would otherwise put its product over another's.
    """
    token = _permit.set(permit)
    try:
        yield
    finally:
        _permit.reset(token)


def permitted() -> AbstractContextManager[None]:
    """The permit in force, to rename a product in; outside workers everything is permitted."""
    return _permit.get()()


@contextmanager
def staged(
    target: Path, rooms: Sequence[Path] = (), need_bytes: int = 0, durable: bool = False
) -> Iterator[Path]:  # fmt: skip
    """Give a temporary path (for a file or directory) that replaces `target` when the block ends well.

    On any error the temporary is removed and the target stays as it was.

    Parameters
    ----------
    rooms : directories to write in, the first that has `need_bytes` free and a margin; what is written there is
        copied beside the target, flushed and renamed. Without one it is written beside the target.
    durable : flush to the disk before the renaming, also what is written beside the target: it survives a power cut.

    Raises
    ------
    Transient when the disk has no room or cannot be written.
    """
    name = f"{target.name}{MARK}{uuid.uuid4().hex[:8]}"
    beside = target.with_name(name)
    temporary = beside
    try:
        with refusals(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _check_writable(target.parent)
            check_room(target, need_bytes)
            room = next((room for room in rooms if has_room(room, need_bytes)), None)
            temporary = room / name if room else beside
            yield temporary
            if temporary != beside:
                _copy(temporary, beside)
            if durable or temporary != beside:
                _flush(beside)
            with permitted():
                _replace(beside, target)
            if durable or temporary != beside:
                _flush_one(target.parent)
    finally:
        _remove(temporary)
        _remove(beside)


@contextmanager
def refusals(target: Path) -> Iterator[None]:
    """Whatever the file system refuses inside the block becomes one Transient that names `target`."""
    try:
        yield
    except OSError as error:
        raise _refused(target, error.strerror or str(error)) from error
    except RuntimeError as error:
        reason = refusal(str(error))
        if reason is None:
            raise
        raise _refused(target, reason) from error


def refusal(said: str) -> str | None:
    """What the file system refused, by the words of casacore or CASA; None where they speak of something else."""
    reason = next((text for text in _REFUSALS if text in said), None)
    if reason is None and any(text in said for text in _CASACORES_WORDS):
        reason = f"its disk takes no more, most likely it is full: {said.splitlines()[0]}"
    return reason


def check_room(target: Path, need_bytes: int) -> None:
    """Raise Transient when the disk that `target` lies on has less than this free."""
    free = shutil.disk_usage(target.parent).free
    if free < need_bytes:
        raise Transient(
            f"{target}: needs {need_bytes / 1e6:.0f} MB and {free / 1e6:.0f} MB are free; make room on its disk"
        )


def has_room(room: Path, need_bytes: int) -> bool:
    """Whether a directory can be written and has the room, by what is free now; memory too where it is a tmpfs."""
    try:
        room.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(room).free
        if not os.access(room, os.W_OK | os.X_OK):
            return False
    except OSError:
        return False
    if file_system(room).is_in_memory:
        free = min(free, psutil.virtual_memory().available // 2)
    return free >= need_bytes * _MARGIN + _MARGIN_BYTES


def _check_writable(directory: Path) -> None:
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _refused(target: Path, reason: str) -> Transient:
    return Transient(f"{target}: cannot be written ({reason}); check disk and permissions")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _flush(path: Path) -> None:
    """Flush a file, or a directory with all that is in it, to the disk."""
    for folder, _, names in os.walk(path):
        for name in names:
            _flush_one(Path(folder) / name)
        _flush_one(Path(folder))
    if not path.is_dir():
        _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def leftovers(directory: Path) -> list[Path]:
    """Temporaries that killed processes left in a directory; whoever knows that nobody writes may remove them."""
    return sorted(directory.glob(f"*{MARK}*"))


def place_of(temporary: Path) -> Path:
    """The name that a product under a temporary name is to get; that of any other path is its own."""
    return temporary.with_name(temporary.name.partition(MARK)[0])


def put_back(target: Path) -> bool:
    """Undo a replacement that a kill cut in two: the old product gets its name again; whether there was one.

    Only on file systems that cannot exchange two names in one instant does that ever happen.
    """
    old = next(target.parent.glob(f"{glob.escape(target.name)}{_ASIDE}*"), None)
    if old is None or target.exists():
        return False
    old.rename(target)
    return True


def _replace(temporary: Path, target: Path) -> None:
    """Give a product its name; what had it before is then at `temporary`, or gone."""
    if not target.is_dir():
        temporary.replace(target)
    elif not _exchange(temporary, target):
        # A directory cannot be renamed over another: the old one steps aside for an instant.
        old = target.with_name(f"{target.name}{_ASIDE}{uuid.uuid4().hex[:8]}")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one instant; False where kernel or file system cannot."""
    sys.audit("os.rename", str(one), str(other), -1, -1)  # said to auditors as every other rename is
    try:
        failed = _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    except AttributeError:  # no Linux, or an old one
        return False
    return not failed


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


class Ballast:
    """A file that holds some of a disk's space until something goes wrong; a context manager.

    Where casacore cannot flush a table as it closes it, it ends the whole process. So whoever writes with casacore
    takes ballast aboard first and drops it at the first error: then there is room to close.

    Raises
    ------
    OSError when there is no room for it.
    """

    def __init__(self, beside: Path, need_bytes: int) -> None:
        self._path = beside.with_name(f"{beside.name}-ballast")
        self._bytes = min(max(need_bytes // 4, 8 << 20), 96 << 20)

    def __enter__(self) -> "Ballast":
        try:
            with self._path.open("wb") as file:
                # Some more for an instant: the empty tables have to find room, too.
                os.posix_fallocate(file.fileno(), 0, self._bytes + _EMPTY_TABLES_BYTES)
                file.truncate(self._bytes)
        except OSError:
            self.drop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def drop(self) -> None:
        """Give the space back."""
        _remove(self._path)


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files of a directory such as a Measurement Set."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(path) for name in names)
