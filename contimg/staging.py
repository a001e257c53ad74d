"""A product appears whole or not at all: written beside its target under a temporary name, renamed at the end."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contimg.errors import Transient

MARK = ".writing-"


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` (file or directory) that replaces it when the block ends well.

    On any error the temporary is removed and the target stays as it was. A full disk becomes Transient.
    """
    temporary = target.with_name(f"{target.name}{MARK}{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
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
