"""Selection of the new, changed and complete files of the incoming directory. Uses neither the store nor the queue."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from contimg.common.errors import Transient
from contimg.formats.uvh5.grouping import SubbandFile

SETTLED_AFTER_S = 2.0
# The correlator writes `…_incomplete.hdf5`; copying programs use these suffixes until a file is complete.
_UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".writing")
SUBDIRECTORY = (
    "directory with subband files; only files directly in the incoming directory are processed; move them there"
)
_MAX_ENTRIES = 1000  # of a sub-directory that are looked through for a subband file
FOREIGN = "name is not YYYY-MM-DDTHH:MM:SS_sbNN.hdf5; rename the file or remove it"
EMPTY = "size is 0 bytes; copy the file again"


@dataclass(frozen=True)
class RejectedFile:
    """A file to quarantine at once.

    Attributes
    ----------
    path : the file.
    size, mtime : its size in bytes and modification time in seconds since 1970.
    reason : why it cannot be sorted into a group.
    """

    path: Path
    size: int
    mtime: float
    reason: str


IncomingFile = SubbandFile | RejectedFile


class IncomingScanner:
    """Finds new files in a directory; a registered file that has not changed costs one `stat` per scan."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._registered: dict[str, tuple[int, float]] = {}
        self._unsettled: dict[str, tuple[int, float, float]] = {}

    def scan(self) -> Iterator[IncomingFile]:
        """Yield every new or changed file in the order of names, which is the order of observation.

        A sub-directory that has subband files is yielded as a rejected file.

        Raises
        ------
        Transient : the directory cannot be read; a mount may come back.
        """
        present: dict[str, tuple[int, float]] = {}  # size and mtime only: a backlog may have 100 000 files
        directories: dict[str, float] = {}
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    stat = _stat(entry) if is_candidate(entry.name) else None
                    if stat and S_ISREG(stat.st_mode):
                        present[entry.name] = (stat.st_size, stat.st_mtime)
                    elif stat and S_ISDIR(stat.st_mode):
                        directories[entry.name] = stat.st_mtime
        except OSError as error:
            raise Transient(
                f"{self.directory}: {error.strerror}; create or mount the directory, it is scanned again"
            ) from None
        for name in self._registered.keys() - present.keys() - directories.keys():
            del self._registered[name]
        self._unsettled = {name: state for name, state in self._unsettled.items() if name in present}
        for name in sorted(present):
            if file := self._select(name, *present[name], finished=False):
                yield file
        for name, mtime in directories.items():
            if self._registered.get(name) != (0, mtime) and _has_subband_files(self.directory / name):
                yield RejectedFile(self.directory / name, 0, mtime, SUBDIRECTORY)

    def check(self, name: str, *, finished: bool) -> IncomingFile | None:
        """Return one file if it exists, is new or changed, and is complete; None otherwise.

        Parameters
        ----------
        name : file name within the directory.
        finished : whether its writer has just closed or renamed it, so that it is complete whatever its age.
        """
        stat = _stat(self.directory / name) if is_candidate(name) else None
        if stat is None or not S_ISREG(stat.st_mode):
            return None
        return self._select(name, stat.st_size, stat.st_mtime, finished=finished)

    def forget(self, paths: Iterable[Path]) -> None:
        """Report files again although they have not changed.

        Parameters
        ----------
        paths : of files that the store has as missing.
        """
        for path in paths:
            if path.parent == self.directory:
                self._registered.pop(path.name, None)

    def mark_registered(self, file: IncomingFile) -> None:
        """Report this file no more until its size or modification time changes.

        Parameters
        ----------
        file : a file that `scan` or `check` returned and the store has recorded.
        """
        self._registered[file.path.name] = (file.size, file.mtime)
        self._unsettled.pop(file.path.name, None)

    def _select(self, name: str, size: int, mtime: float, *, finished: bool) -> IncomingFile | None:
        if self._registered.get(name) == (size, mtime) or not (finished or self._is_settled(name, size, mtime)):
            return None
        path = self.directory / name
        file = SubbandFile.parse(path, size, mtime)
        if file is None or size == 0:
            return RejectedFile(path, size, mtime, EMPTY if file else FOREIGN)
        return file

    def _is_settled(self, name: str, size: int, mtime: float) -> bool:
        """Whether a file was last written some time ago, by its mtime or, as clocks may differ, by earlier scans."""
        if time.time() - mtime >= SETTLED_AFTER_S:
            return True
        *earlier, since_s = self._unsettled.get(name, (0, 0.0, 0.0))
        if earlier != [size, mtime]:
            self._unsettled[name] = (size, mtime, time.monotonic())
            return False
        return time.monotonic() - since_s >= SETTLED_AFTER_S


def is_candidate(name: str) -> bool:
    """Return whether a file name does not mark a hidden or unfinished file.

    Parameters
    ----------
    name : file name without its directory.
    """
    return not (name.startswith(".") or "_incomplete" in name or name.endswith(_UNFINISHED))


def _stat(entry: os.DirEntry[str] | Path) -> os.stat_result | None:
    """Return the properties of a file or directory, following links; None when it has vanished."""
    try:
        return entry.stat()
    except OSError:
        return None


def _has_subband_files(directory: Path) -> bool:
    """Whether there is a subband file among the first entries of a directory and those below it."""
    paths = (Path(parent) / name for parent, _, names in os.walk(directory) for name in names)
    return any(SubbandFile.parse(path) for path in islice(paths, _MAX_ENTRIES))
