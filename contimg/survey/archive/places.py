"""Places that products are copied to: a mounted directory, and what all places have in common.

A place holds a file `.contimg-archive` with the name of the place as its text. Without it nothing is written or read
there: the directory below a mount point is not the place while the disk is not mounted.
"""

import hashlib
import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar
from uuid import uuid4

from contimg.common.errors import BadInput, ContimgError, Transient
from contimg.common.files.checksums import CHUNK_BYTES, combine, list_tree, read_chunks
from contimg.common.files.staging import MARK, flush_tree, remove
from contimg.survey.archive.options import PlaceRule

MARKER = ".contimg-archive"
CHECK_LIMIT_S = 20.0
Answer = TypeVar("Answer")


class PlaceAway(Transient):
    """A place does not answer, or is not the place that its name says."""


class Absent(ContimgError):
    """A place has no copy of this name."""


class SourceDiffers(ContimgError):
    """A file that was to be copied has another checksum than when it was made.

    Attributes
    ----------
    sha256 : what was read.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(f"{path}: SHA-256 is {sha256}")


class Place(ABC):
    """A place.

    Parameters
    ----------
    rule : name and location.
    """

    def __init__(self, rule: PlaceRule) -> None:
        self.rule = rule

    def check(self) -> None:
        """Raise PlaceAway unless the place answers and its marker holds its name."""
        marker = answer_within(CHECK_LIMIT_S, self._read_marker, f"{self.rule.url}: does not answer")
        if marker is None:
            remedy = f"mount it, or run `contimg archive prepare {self.rule.name}` once if it is a new place"
            raise PlaceAway(f"{self.rule.url}: {MARKER} is missing; {remedy}")
        if marker.strip() != self.rule.name:
            raise PlaceAway(f"{self.rule.url}: {MARKER} is that of the place {marker.strip()[:40]!r}")

    def prepare(self) -> None:
        """Write the marker, once for a new place.

        Raises
        ------
        BadInput : the marker of another place is there.
        """
        marker = answer_within(CHECK_LIMIT_S, self._read_marker, f"{self.rule.url}: does not answer")
        if marker is not None and marker.strip() != self.rule.name:
            raise BadInput(
                f"{self.rule.url}: {MARKER} is that of the place {marker.strip()[:40]!r}; choose another URL"
            )
        self._write_marker(f"{self.rule.name}\n")

    def copy(self, source: Path, name: str, expected: str | None) -> str:
        """Copy a file or directory under a temporary name and rename it; return the checksum of what was read.

        Parameters
        ----------
        source : the local file or directory.
        name : its path within the place, which replaces an earlier copy.
        expected : checksum of the file when it was made; None where it is not known.

        Raises
        ------
        SourceDiffers : the file has another checksum; an earlier copy stays.
        FileNotFoundError : there is no such file.
        PlaceAway, Transient : the place cannot be written.
        """
        self.check()
        return self._copy(source, check_relative(name), expected)

    def read_back(self, name: str) -> str:
        """Read a copy and return its checksum.

        Parameters
        ----------
        name : its path within the place.

        Raises
        ------
        Absent : there is no such copy.
        PlaceAway, Transient : the place cannot be read.
        """
        self.check()
        return self._read_back(check_relative(name))

    def fetch(self, name: str, target: Path) -> str:
        """Copy back to a local path that does not exist; return the checksum of what was read.

        Parameters
        ----------
        name : path of the copy within the place.
        target : the local path.

        Raises
        ------
        Absent : there is no such copy.
        PlaceAway, Transient : the place cannot be read.
        """
        self.check()
        return self._fetch(check_relative(name), target)

    @abstractmethod
    def _read_marker(self) -> str | None: ...

    @abstractmethod
    def _write_marker(self, text: str) -> None: ...

    @abstractmethod
    def _copy(self, source: Path, name: str, expected: str | None) -> str: ...

    @abstractmethod
    def _read_back(self, name: str) -> str: ...

    @abstractmethod
    def _fetch(self, name: str, target: Path) -> str: ...


def check_relative(name: str) -> str:
    """Return a path within a place; raise BadInput for one that leads out of it.

    Parameters
    ----------
    name : the path.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or parts == (MARKER,):
        raise BadInput(f"{name}: not a path within a place")
    return name


def answer_within(limit_s: float, question: Callable[[], Answer], problem: str) -> Answer:
    """Call a function in a thread; a network file system that hangs must not hang its caller.

    Parameters
    ----------
    limit_s : longest time to wait, s.
    question : the function.
    problem : message of the error when it does not return in time.

    Raises
    ------
    PlaceAway : it did not return in time, or raised an OSError.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(question())
        except BaseException as error:  # noqa: BLE001 (raised in the caller)
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(limit_s)
    if answers:
        return answers[0]
    if not errors:
        raise PlaceAway(f"{problem} within {limit_s:g} s")
    if isinstance(errors[0], OSError):
        raise PlaceAway(f"{problem}: {errors[0].strerror or errors[0]}") from errors[0]
    raise errors[0]


def write_hashed(chunks: Iterable[bytes], write: Callable[[bytes], object]) -> str:
    """Write the parts of a file and return their SHA-256.

    Parameters
    ----------
    chunks : the parts.
    write : method of the file that is written.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        write(chunk)
    return digest.hexdigest()


def copy_tree(source: Path, target: Path) -> str:
    """Copy a file or a directory and return the checksum of what was read.

    Parameters
    ----------
    source : file or directory.
    target : path that does not exist, in a directory that exists.
    """
    digests = {}
    if source.is_dir():
        target.mkdir()
    for name in list_tree(source):
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        original = source / name if name else source
        with path.open("xb") as file:
            digests[name] = write_hashed(read_chunks(original), file.write)
        shutil.copystat(original, path)
    return combine(digests)


def replace_by(temporary: Path, target: Path) -> None:
    """Flush a copy to the disk and rename it to its name; an earlier copy is removed.

    Parameters
    ----------
    temporary : the copy, beside its target.
    target : its name.
    """
    flush_tree(temporary)
    if target.is_dir() and not target.is_symlink():
        former = target.with_name(f"{target.name}{MARK}old-{uuid4().hex[:8]}")
        target.rename(former)
        temporary.rename(target)
        remove(former)
    else:
        temporary.replace(target)


class MountPlace(Place):
    """A directory of a file system that is mounted here."""

    @property
    def _root(self) -> Path:
        return Path(self.rule.location)

    def _read_marker(self) -> str | None:
        try:
            return (self._root / MARKER).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write_marker(self, text: str) -> None:
        if not self._root.is_dir():
            raise BadInput(f"{self._root}: is no directory; mount the disk and make the directory first")
        (self._root / MARKER).write_text(text, encoding="utf-8")

    def _copy(self, source: Path, name: str, expected: str | None) -> str:
        target = self._root / name
        source.stat()
        with self._refusals(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{target.name}{MARK}{uuid4().hex[:8]}")
            try:
                digest = copy_tree(source, temporary)
                if expected not in (None, digest):
                    raise SourceDiffers(source, digest)
                replace_by(temporary, target)
            finally:
                remove(temporary)
        return digest

    def _read_back(self, name: str) -> str:
        path = self._root / name
        with self._refusals(path):
            return combine({part: digest_of(_read_from_disk(path / part if part else path)) for part in _parts(path)})

    def _fetch(self, name: str, target: Path) -> str:
        path = self._root / name
        with self._refusals(path):
            if not os.path.lexists(path):
                raise Absent(f"{path}: does not exist")
            return copy_tree(path, target)

    @contextmanager
    def _refusals(self, path: Path) -> Iterator[None]:
        """Turn an error of the file system into PlaceAway when the place is away by now."""
        try:
            yield
        except OSError as error:
            self.check()
            raise Transient(f"{error.filename or path}: {error.strerror or error}") from error


def _parts(path: Path) -> tuple[str, ...]:
    if not os.path.lexists(path):
        raise Absent(f"{path}: does not exist")
    return list_tree(path)


def _read_from_disk(path: Path) -> Iterator[bytes]:
    """Read a file after its pages were dropped from memory, so that what is on the disk is read."""
    with path.open("rb") as file:
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def digest_of(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256 of the parts of a file.

    Parameters
    ----------
    chunks : the parts.
    """
    return write_hashed(chunks, lambda _: None)
