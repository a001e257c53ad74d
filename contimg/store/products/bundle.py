"""The files of a selection of images, in a directory or as a tar archive, with a manifest of checksums.

`manifest.csv` has a row for each file with the numbers of its image; a file that is not on disk has a row without a
checksum. `SHA256SUMS` is what `sha256sum --check` reads.
"""

import csv
import hashlib
import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg.common.errors import BadInput
from contimg.common.files.names import safe_name
from contimg.common.files.writing import atomic_file
from contimg.common.units import format_utc
from contimg.store.products.records import StoredImage

MANIFEST, CHECKSUMS = "manifest.csv", "SHA256SUMS"
CHUNK_BYTES = 1 << 20
_FILE_MODE = 0o644
_IMAGE_FIELDS = (
    "id", "group", "mjd", "ra_deg", "dec_deg", "freq_hz", "beam_major_arcsec", "beam_minor_arcsec", "beam_angle_deg",
    "rms_jy", "expected_rms_jy", "peak_jy", "unflagged_fraction", "catalogue_flux_ratio", "calibration_set", "verdict",
)  # fmt: skip
_COLUMNS = ("file", "sha256", "bytes", "observed_at", *_IMAGE_FIELDS, "verdict_reasons")


@dataclass(frozen=True)
class BundleFile:
    """A file of a bundle.

    Attributes
    ----------
    image : the image that it belongs to.
    path : the file; None when it is not on disk.
    name : its name in the bundle.
    """

    image: StoredImage
    path: Path | None
    name: str


@dataclass(frozen=True)
class BundledFile:
    """A file as it was copied: SHA-256 in hexadecimal digits and size; None for a file that is not on disk."""

    file: BundleFile
    sha256: str | None = None
    size_bytes: int | None = None


def list_files(
    images: Iterable[StoredImage], *, corrected: bool = False, safe_names: bool = False, directory: Path | None = None
) -> tuple[BundleFile, ...]:
    """List the FITS files of images; of two with the same name, the second has the number of its image before it.

    Parameters
    ----------
    images : the selection.
    corrected : take the images corrected for the primary beam instead of those of apparent flux.
    safe_names : replace colons in the names, which Windows and some tools do not take.
    directory : files outside of it count as not on disk; None for no limit.
    """
    files: list[BundleFile] = []
    names: Counter[str] = Counter()
    for image in images:
        path = image.pbcor_path if corrected else image.fits_path
        name = safe_name(path.name) if safe_names else path.name
        names[name] += 1
        unique = name if names[name] == 1 else f"{image.id}_{name}"
        files.append(BundleFile(image, _existing(path, directory), unique))
    return tuple(files)


def write_bundle(files: Sequence[BundleFile], directory: Path, *, link: bool = False) -> tuple[BundledFile, ...]:
    """Copy files into a directory, with the manifest and the checksums; a file of the same name is replaced.

    Parameters
    ----------
    files : of `list_files`.
    directory : made if it does not exist.
    link : make symbolic links instead of copies.

    Raises
    ------
    BadInput : the directory holds the products themselves.
    OSError : a file cannot be read or written; those before it are whole.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(file.path is not None and file.path.parent.resolve() == directory.resolve() for file in files):
        raise BadInput(f"{directory}: holds the products themselves; give another directory")
    bundled = []
    for file in files:
        target, digest, size_bytes = directory / file.name, hashlib.sha256(), 0
        if file.path is None:
            bundled.append(BundledFile(file))
            continue
        if link:
            for chunk in _read(file.path):
                digest.update(chunk)
                size_bytes += len(chunk)
            with suppress(FileNotFoundError):
                target.unlink()
            target.symlink_to(file.path.resolve())
        else:
            if target.is_symlink():
                target.unlink()
            with atomic_file(target, mode=_FILE_MODE) as copy:
                for chunk in _read(file.path):
                    digest.update(chunk)
                    size_bytes += copy.write(chunk)
        bundled.append(BundledFile(file, digest.hexdigest(), size_bytes))
    for name, text in _tables(bundled).items():
        with atomic_file(directory / name, mode=_FILE_MODE) as table:
            table.write(text)
    return tuple(bundled)


def stream_bundle(files: Iterable[BundleFile], root: str) -> Iterator[bytes]:
    """Give the bytes of a tar archive of the files, with the manifest and the checksums at its end.

    Parameters
    ----------
    files : of `list_files`.
    root : directory in the archive that holds everything.

    Yields
    ------
    parts of the archive (POSIX.1-2001, pax); at most one of `CHUNK_BYTES` is in memory.

    Raises
    ------
    OSError : a file cannot be read, or became shorter while it was read; the archive is not complete.
    """
    bundled = []
    for file in files:
        try:
            opened = file.path.open("rb") if file.path is not None else None
        except FileNotFoundError:
            opened = None
        if opened is None:
            bundled.append(BundledFile(file))
            continue
        digest = hashlib.sha256()
        with opened:
            status = os.fstat(opened.fileno())
            yield _header(f"{root}/{file.name}", status.st_size, status.st_mtime)
            remaining_bytes = status.st_size
            while remaining_bytes:
                chunk = opened.read(min(CHUNK_BYTES, remaining_bytes))
                if not chunk:
                    raise OSError(f"{file.path}: became shorter while it was read")
                digest.update(chunk)
                remaining_bytes -= len(chunk)
                yield chunk
        yield _padding(status.st_size)
        bundled.append(BundledFile(file, digest.hexdigest(), status.st_size))
    newest_s = max((file.file.image.created_at for file in bundled), default=0.0)
    for name, text in _tables(bundled).items():
        yield _header(f"{root}/{name}", len(text), newest_s) + text + _padding(len(text))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _existing(path: Path, directory: Path | None) -> Path | None:
    """The file behind a path; None when there is none, or when it is outside of the directory."""
    real = path.resolve()
    if not real.is_file() or (directory is not None and not real.is_relative_to(directory.resolve())):
        return None
    return real


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _header(name: str, size_bytes: int, modified_s: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, int(modified_s), _FILE_MODE
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % tarfile.BLOCKSIZE)


def _tables(bundled: Sequence[BundledFile]) -> dict[str, bytes]:
    """The manifest and the checksums, by name of file."""
    manifest = io.StringIO()
    writer = csv.writer(manifest, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for file in bundled:
        image = file.file.image
        values = ("" if (value := getattr(image, name)) is None else value for name in _IMAGE_FIELDS)
        observed_at = format_utc(image.observed_at, "%Y-%m-%dT%H:%M:%SZ")
        size = "" if file.size_bytes is None else file.size_bytes
        row = (file.file.name, file.sha256 or "", size, observed_at, *values, "; ".join(image.verdict_reasons))
        writer.writerow(row)
    sums = "".join(f"{file.sha256}  {file.file.name}\n" for file in bundled if file.sha256)
    return {MANIFEST: manifest.getvalue().encode(), CHECKSUMS: sums.encode()}
