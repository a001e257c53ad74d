"""Selection of the new, changed and complete files of the incoming directory. Uses neither the store nor the queue."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from contimg.errors import Transient
from contimg.formats.uvh5.grouping import SubbandFile

SETTLED_AFTER_S = 2.0
# The correlator writes `…_incomplete.hdf5`; copying programs use these suffixes until a file is complete.
_UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".writing")
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

        Raises
        ------
        Transient : the directory cannot be read; a mount may come back.
        """
        present: dict[str, tuple[int, float]] = {}  # size and mtime only: a backlog may have 100 000 files
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if is_candidate(entry.name) and (size_mtime := _size_and_mtime(entry)):
                        present[entry.name] = size_mtime
        except OSError as error:
            raise Transient(
                f"{self.directory}: {error.strerror}; create or mount the directory, it is scanned again"
            ) from None
        for name in self._registered.keys() - present.keys():
            del self._registered[name]
        self._unsettled = {name: state for name, state in self._unsettled.items() if name in present}
        for name in sorted(present):
            if file := self._select(name, *present[name], finished=False):
                yield file

    def check(self, name: str, *, finished: bool) -> IncomingFile | None:
        """Return one file if it exists, is new or changed, and is complete; None otherwise.

        Parameters
        ----------
        name : file name within the directory.
        finished : whether its writer has just closed or renamed it, so that it is complete whatever its age.
        """
        size_mtime = _size_and_mtime(self.directory / name) if is_candidate(name) else None
        return self._select(name, *size_mtime, finished=finished) if size_mtime else None

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


def _size_and_mtime(entry: os.DirEntry[str] | Path) -> tuple[int, float] | None:
    """Return size and mtime of a regular file, following links; None for anything else or when it has vanished."""
    try:
        stat = entry.stat()
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime) if S_ISREG(stat.st_mode) else None
