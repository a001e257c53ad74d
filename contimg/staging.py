"""A product appears whole or not at all: written beside its target under a temporary name, renamed at the end."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path

from contimg.errors import Transient

MARK = ".writing-"
Permit = Callable[[], AbstractContextManager[None]]
_permit: ContextVar[Permit] = ContextVar("permit", default=nullcontext)


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
def staged(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` (file or directory) that replaces it when the block ends well.

    On any error the temporary is removed and the target stays as it was. A full disk becomes Transient.
    """
    temporary = target.with_name(f"{target.name}{MARK}{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with permitted():
            _replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise Transient(
            f"{target}: cannot be written ({error.strerror or error}); check disk and permissions"
        ) from error
    except BaseException:
        _remove(temporary)
        raise


def leftovers(directory: Path) -> list[Path]:
    """Temporaries that killed processes left in a directory; whoever knows that nobody writes may remove them."""
    return sorted(directory.glob(f"*{MARK}*"))


def _replace(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        temporary.replace(target)
        return
    # A directory cannot be renamed over another: the old one steps aside for an instant.
    old = target.with_name(f"{target.name}{MARK}old-{uuid.uuid4().hex[:8]}")
    target.rename(old)
    temporary.rename(target)
    shutil.rmtree(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files of a directory such as a Measurement Set."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(path) for name in names)
