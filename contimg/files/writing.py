"""Atomic writing of small files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o600, durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary file beside the target and rename it at the end: readers see the old or the new content.

    Parameters
    ----------
    path : target, in a directory that exists.
    mode : permissions of the file, in force from its first byte.
    durable : whether the content is flushed to the disk before the rename, so that it survives a power failure.

    Raises
    ------
    OSError; after any exception the target is unchanged and no temporary file is left.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            yield file
            if durable:
                file.flush()
                os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a UTF-8 text file as `atomic_file` does.

    Parameters
    ----------
    path : target, in a directory that exists.
    text : the whole content.
    mode : permissions of the file.
    durable : whether the content is flushed to the disk before the rename.

    Raises
    ------
    OSError : the file cannot be written; the target is then unchanged.
    """
    with atomic_file(path, mode=mode, durable=durable) as file:
        file.write(text.encode())
