"""Atomic writing of small text files."""

import os
import tempfile
from pathlib import Path


def write_text(path: Path, text: str, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a text file under a temporary name beside the target and rename it: readers see the old or the new text.

    Parameters
    ----------
    path : target, in a directory that exists.
    text : content, written as UTF-8.
    mode : permissions of the file, in force from its first byte.
    durable : whether the content is flushed to the disk before the rename, so that it survives a power failure.

    Raises
    ------
    OSError; the target is then unchanged and no temporary file is left.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(handle, mode)
            file.write(text)
            if durable:
                file.flush()
                os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
