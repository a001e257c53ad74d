"""The manifest of a published survey: a header and a line for each file, written and read one by one.

`manifest.json` is one JSON object; each file of its list is on a line of its own, in the order of the paths, so that it
is read in a memory that does not grow with it. `SHA256SUMS` is what `sha256sum --check` reads.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import contimg
from contimg.common.errors import BadFile
from contimg.common.files import checksums
from contimg.common.files.staging import disk_errors
from contimg.store.survey.publication import PublicationSelection

MANIFEST, CHECKSUMS = "manifest.json", "SHA256SUMS"
FORMAT = "contimg-publication-1"
MAX_LINE_BYTES = 1 << 20
_LIST, _END = '"files": [\n', "]\n}\n"
_PACKAGES = ("numpy", "astropy", "pyarrow", "mocpy", "matplotlib", "pillow")


def software_versions() -> dict[str, str]:
    """Return the versions of the software that the bits of a publication depend on."""
    return dict(sorted({"contimg": contimg.__version__, **{name: version(name) for name in _PACKAGES}}.items()))


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a publication is.

    Attributes
    ----------
    created_at : time that is recorded, epoch seconds.
    selection : which mosaics are in it.
    has_hips : whether it has a HiPS and a MOC.
    mosaics, measurements, sources, light_curves : their numbers.
    software : versions.
    """

    created_at: float
    selection: PublicationSelection
    has_hips: bool = True
    mosaics: int = 0
    measurements: int = 0
    sources: int = 0
    light_curves: int = 0
    software: Mapping[str, str] = field(default_factory=software_versions)


@dataclass(frozen=True)
class Entry:
    """A file of a publication: path in it, size, SHA-256, media type, description and what it was made from."""

    path: str
    bytes: int
    sha256: str
    media_type: str
    description: str
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """A file that is not as the manifest has it: path in the publication, and what is wrong."""

    path: str
    reason: str


Describe = Callable[[str], tuple[str, str, Mapping[str, Any]]]


def write_manifest(directory: Path, header: Header, describe: Describe, previous: Path | None = None) -> None:
    """Write the manifest and the checksums of a directory that is complete otherwise.

    Parameters
    ----------
    directory : of the publication.
    header : what it is.
    describe : returns media type, description and provenance of a file; it is called in the order of the paths.
    previous : a publication whose checksums are taken for the files that are the same, by inode, or by size and time.
    """
    earlier = _Earlier(previous)
    path = directory / MANIFEST
    with disk_errors(path), path.open("w", encoding="utf-8") as file, (directory / CHECKSUMS).open(
        "w", encoding="utf-8"
    ) as sums:  # fmt: skip
        head = json.dumps({"format": FORMAT, **asdict(header)}, indent=1, sort_keys=True)
        file.write(f"{head.removesuffix('}').rstrip()},\n{_LIST}")
        separator = ""
        for name in walk(directory):
            if name in (MANIFEST, CHECKSUMS):
                continue
            digest = earlier.digest_of(name, directory / name) or sha256_of(directory / name)
            entry = Entry(name, (directory / name).stat().st_size, digest, *describe(name))
            file.write(f"{separator}{json.dumps(asdict(entry), sort_keys=True)}")
            sums.write(f"{digest}  {name}\n")
            separator = ",\n"
        file.write(f"\n{_END}")
        file.flush()
        sums.write(f"{sha256_of(path)}  {MANIFEST}\n")


class _Earlier:
    """Checksums of the files of an earlier publication that have not changed, read in step with the new one."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._entries = iter(()) if directory is None else read_entries(directory / MANIFEST)
        self._entry: Entry | None = next(self._entries, None)

    def digest_of(self, name: str, path: Path) -> str | None:
        while self._entry is not None and self._entry.path < name:
            self._entry = next(self._entries, None)
        if self._entry is None or self._directory is None or self._entry.path != name:
            return None
        try:
            before, now = (self._directory / name).stat(), path.stat()
        except OSError:
            return None
        is_same = (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
        return self._entry.sha256 if is_same and now.st_size == self._entry.bytes else None


def read_header(path: Path) -> Header:
    """Return the header of a manifest.

    Parameters
    ----------
    path : of `manifest.json`.

    Raises
    ------
    BadFile : it is none of `contimg publish`, or cannot be read.
    """
    text = ""
    for line in _lines(path):
        if line == _LIST:
            break
        text += line
    try:
        values = json.loads(f"{text.rstrip().removesuffix(',')}}}")
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        selection = values.pop("selection")
        selection = PublicationSelection(**{**selection, "grades": tuple(selection["grades"])})
        return Header(**values, selection=selection)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(path, f"no manifest of `contimg publish` ({error}); give its manifest.json") from None


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the files of a manifest, in the order of their paths.

    Parameters
    ----------
    path : of `manifest.json`.

    Raises
    ------
    BadFile : it is none of `contimg publish`, or names a file outside its directory.
    """
    lines = _lines(path)
    for line in lines:
        if line == _LIST:
            break
    before = ""
    for line in lines:
        if line == _END[:2] or not line.strip():
            break
        try:
            entry = Entry(**json.loads(line.rstrip().removesuffix(",")))
            parts = entry.path.split("/")
        except (ValueError, TypeError, AttributeError) as error:
            raise BadFile(path, f"a line of its files cannot be read ({error}); write it again") from None
        if not all(parts) or {".", ".."} & set(parts) or "\0" in entry.path or entry.path <= before:
            raise BadFile(path, f"{entry.path[:80]!r} is no path inside the publication, or out of order")
        before = entry.path
        yield entry


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES):
                yield line.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, f"cannot be read ({error}); give a manifest.json of `contimg publish`") from None


def walk(directory: Path) -> Iterator[str]:
    """Yield the paths of all files below a directory, relative to it, in the order of their text.

    Parameters
    ----------
    directory : links to directories are not followed.
    """
    with os.scandir(directory) as scan:
        # With its slash a directory has the position that its files have among the paths.
        entries = sorted((f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name) for entry in scan)
    for name in entries:
        if name.endswith("/"):
            yield from (f"{name}{inner}" for inner in walk(directory / name))
        else:
            yield name


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits.

    Parameters
    ----------
    path : of the file.

    Raises
    ------
    BadFile : it cannot be read.
    """
    try:
        return checksums.sha256_of(path)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror or error}); publish again") from None


def verify(directory: Path) -> tuple[Fault, ...]:
    """Compare a publication with its manifest.

    Parameters
    ----------
    directory : of the publication.

    Returns
    -------
    The files that are missing, changed, or not in the manifest; empty when all are as published.

    Raises
    ------
    BadFile : its manifest cannot be read.
    """
    path = directory / MANIFEST
    read_header(path)
    faults: list[Fault] = []
    extra = _Absent(directory)
    for entry in read_entries(path):
        faults += extra.before(entry.path)
        file = directory / entry.path
        if not file.is_file():
            faults.append(Fault(entry.path, "missing"))
        elif file.stat().st_size != entry.bytes:
            faults.append(Fault(entry.path, f"has {file.stat().st_size} bytes, and the manifest {entry.bytes}"))
        elif sha256_of(file) != entry.sha256:
            faults.append(Fault(entry.path, "its SHA-256 is not that of the manifest"))
    return (*faults, *extra.before(None), *_check_sums(directory))


class _Absent:
    """The files of a directory that its manifest does not have, read in step with it."""

    def __init__(self, directory: Path) -> None:
        self._names = (name for name in walk(directory) if name not in (MANIFEST, CHECKSUMS))
        self._name = next(self._names, None)

    def before(self, path: str | None) -> Iterator[Fault]:
        while self._name is not None and (path is None or self._name < path):
            yield Fault(self._name, "not in the manifest")
            self._name = next(self._names, None)
        if self._name == path:
            self._name = next(self._names, None)


def _check_sums(directory: Path) -> Iterator[Fault]:
    """Whether `SHA256SUMS` has the checksums of the manifest, and that of the manifest itself."""
    digest = hashlib.sha256()
    for entry in read_entries(directory / MANIFEST):
        digest.update(f"{entry.sha256}  {entry.path}\n".encode())
    digest.update(f"{sha256_of(directory / MANIFEST)}  {MANIFEST}\n".encode())
    path = directory / CHECKSUMS
    if not path.is_file():
        yield Fault(CHECKSUMS, "missing")
    elif sha256_of(path) != digest.hexdigest():
        yield Fault(CHECKSUMS, f"differs from {MANIFEST}: one of both was changed")


def first_difference(left: Path, right: Path) -> str:
    """Return the path of the first file that differs between two publications, by their manifests.

    Parameters
    ----------
    left, right : their `manifest.json`; where all files are the same, the manifests themselves differ.
    """
    for pair in zip_longest(read_entries(left), read_entries(right)):
        if pair[0] != pair[1]:
            return min(entry.path for entry in pair if entry is not None)
    return MANIFEST
