"""SHA-256 checksums of files and of directories such as Measurement Sets.

The checksum of a directory is that of the list of its files as `sha256sum` writes it, in the order of the bytes of
their names, and can be computed with coreutils:

    cd DIRECTORY && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checksum:
    """SHA-256 of a file or a directory in hexadecimal digits, and its size in bytes."""

    sha256: str
    size_bytes: int


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in parts of at most `CHUNK_BYTES`.

    Parameters
    ----------
    path : the file.

    Raises
    ------
    OSError : it cannot be read.
    """
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's content, in hexadecimal (FIPS 180-4).

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    OSError : it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_tree(path: Path) -> tuple[str, ...]:
    """List the regular files of a directory as paths below it, in the order of their bytes.

    Parameters
    ----------
    path : the directory; for a file the list holds one empty name, the file itself.
    """
    if not path.is_dir():
        return ("",)
    names = (
        os.path.relpath(os.path.join(directory, name), path)  # noqa: PTH118 (a Path for each file takes long)
        for directory, _, files in os.walk(path)
        for name in files
    )
    return tuple(sorted((name for name in names if not (path / name).is_symlink()), key=os.fsencode))


def combine(files: Mapping[str, str]) -> str:
    """Return the checksum of a directory from those of its files; that of a file is returned as it is.

    Parameters
    ----------
    files : SHA-256 by path below the directory; one empty name for a file.
    """
    if "" in files:
        return files[""]
    lines = (f"{files[name]}  ./{name}\n" for name in sorted(files, key=os.fsencode))
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def checksum(path: Path) -> Checksum:
    """Compute the checksum of a file or a directory.

    Parameters
    ----------
    path : the file or directory.

    Raises
    ------
    OSError : it does not exist or cannot be read.
    """
    files, size_bytes = {}, 0
    path.stat()  # a directory that does not exist has no file, either
    for name in list_tree(path):
        file = path / name if name else path
        files[name] = sha256_of(file)
        size_bytes += file.stat().st_size
    return Checksum(combine(files), size_bytes)
