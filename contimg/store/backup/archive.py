"""The file of a backup: a compressed tar of the store, the configuration, and a manifest with their checksums.

manifest.json       what is in it: version, revision, when, rows of each table, SHA-256 of each member
contimg.sqlite3     the store, as SQLite whatever it was
state/...           the other files of the state directory: streaming_config.json above all
"""

import hashlib
import json
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from contimg.errors import BadInput
from contimg.files.names import check_name

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
    with opened(archive) as tar:
        backup = _manifest(archive, tar)
        for name in backup.sha256:
            if name != STORE:
                if not name.startswith(STATE):
                    raise BadInput(f"{archive}: {name} is no part of a backup")
                check_name(name.removeprefix(STATE), f"{archive}: member")
            _extract(archive, tar, name, directory / name)
    for name, sha256 in backup.sha256.items():
        path = directory / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise BadInput(f"{archive}: {name} is damaged; take another backup's file")
    return backup


def _extract(archive: Path, tar: tarfile.TarFile, name: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        member = tar.extractfile(name)
        if member is None:
            raise KeyError(name)
        with member, target.open("wb") as file:
            shutil.copyfileobj(member, file)
    except (KeyError, tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{archive}: {name} cannot be unpacked ({error})") from None


def opened(archive: Path) -> tarfile.TarFile:
    """Open the archive of a backup for reading; the caller closes it.

    Parameters
    ----------
    archive : path of the backup.

    Raises
    ------
    BadInput : there is no such file, or it is not a compressed tar.
    """
    try:
        return tarfile.open(archive, "r:gz")
    except FileNotFoundError:
        raise BadInput(f"{archive}: no such file") from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadInput(f"{archive}: not a backup by contimg ({error})") from None


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's content, in hexadecimal (FIPS 180-4).

    Parameters
    ----------
    path : of the file.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(archive: Path, tar: tarfile.TarFile) -> Backup:
    try:
        file = tar.extractfile(MANIFEST)
        if file is None:
            raise KeyError(MANIFEST)
        backup = Backup(**json.loads(file.read()))
    except (KeyError, TypeError, ValueError, tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{archive}: not a backup by contimg ({error})") from None
    if backup.format > FORMAT:
        raise BadInput(f"{archive}: made by a newer contimg ({backup.version}); restore it with that")
    return backup
