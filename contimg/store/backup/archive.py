"""The file of a backup: a compressed tar of the store, the configuration, and a manifest with their checksums.

manifest.json       what is in it: version, revision, when, rows of each table, SHA-256 of each member
contimg.sqlite3     the store, as SQLite whatever it was
state/...           the other files of the state directory: streaming_config.json above all
"""

import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from contimg.common.errors import BadInput
from contimg.common.files.checksums import sha256_of
from contimg.common.files.names import check_name

FORMAT = 1
MANIFEST = "manifest.json"
STORE = "contimg.sqlite3"
STATE = "state/"


@dataclass(frozen=True)
class Backup:
    """Contents of a backup.

    Attributes
    ----------
    version, revision : of the program that took it and of its store's tables.
    taken_at : when the store's one consistent view was taken, epoch seconds.
    rows : per table.
    sha256 : of each member of the archive.
    """

    version: str
    revision: str
    taken_at: float
    rows: Mapping[str, int]
    sha256: Mapping[str, str]
    format: int = FORMAT


def write_archive(target: Path, backup: Backup, members: Mapping[str, Path]) -> None:
    """Write the archive of a backup, which its owner alone may read.

    Parameters
    ----------
    target : path of the archive; the manifest is written beside it for the time of the call.
    backup : the manifest.
    members : path of each file by its name in the archive.
    """
    manifest = target.with_name(f"{target.name}.manifest")
    try:
        manifest.write_text(json.dumps(asdict(backup), indent=2), encoding="utf-8")
        target.touch(mode=0o600)
        with tarfile.open(target, "w:gz", compresslevel=3) as tar:
            tar.add(manifest, MANIFEST)
            for name, path in members.items():
                tar.add(path, name, recursive=False)
    finally:
        manifest.unlink(missing_ok=True)


def unpack(archive: Path, directory: Path) -> Backup:
    """Unpack a backup into a directory and check every member against the manifest.

    Parameters
    ----------
    archive : path of the backup.
    directory : an existing directory, which receives the members under their names in the archive.

    Returns
    -------
    the manifest.

    Raises
    ------
    BadInput : the file is no backup or of a newer format, or a member is damaged, missing or no part of a backup.
    """
    with _read_errors(archive, "not a backup by contimg"), tarfile.open(archive, "r:gz") as tar:
        _extract(tar, MANIFEST, directory / MANIFEST)
        backup = Backup(**json.loads((directory / MANIFEST).read_text(encoding="utf-8")))
        if backup.format > FORMAT:
            raise BadInput(f"{archive}: made by a newer contimg ({backup.version}); restore it with that")
        for name, sha256 in backup.sha256.items():
            if name != STORE:
                if not name.startswith(STATE):
                    raise BadInput(f"{archive}: {name} is no part of a backup")
                check_name(name.removeprefix(STATE), f"{archive}: member")
            with _read_errors(archive, f"{name} cannot be unpacked"):
                _extract(tar, name, directory / name)
            if sha256_of(directory / name) != sha256:
                raise BadInput(f"{archive}: {name} is damaged; take another backup's file")
    return backup


@contextmanager
def _read_errors(archive: Path, problem: str) -> Iterator[None]:
    """Raise BadInput with the problem for whatever a damaged archive raises in the block."""
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{archive}: no such file") from None
    except (KeyError, TypeError, ValueError, tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise BadInput(f"{archive}: {problem} ({error})") from None


def _extract(tar: tarfile.TarFile, name: str, target: Path) -> None:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    target.parent.mkdir(exist_ok=True)
    with member, target.open("wb") as file:
        shutil.copyfileobj(member, file)
