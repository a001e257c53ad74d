"""What lies in the incoming directory: which files are new or changed, whole, and fit to be sorted into a group.

No store and no queue here. `Incoming.scan` looks at everything, `Incoming.look` at one path that an event named.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from contimg.errors import Transient
from contimg.formats.uvh5.grouping import SubbandName

SETTLED_AFTER_S = 2.0
# The correlator writes `…_incomplete.hdf5`; copying programs have these habits. Such files are not whole yet.
_UNFINISHED = (".part", ".partial", ".tmp", ".filepart", ".writing")
FOREIGN = "its name is not YYYY-MM-DDTHH:MM:SS_sbNN.hdf5, so it belongs to no group"
EMPTY = "it is empty"


@dataclass(frozen=True)
class Seen:
    """A whole file that was not known in this form.

    Attributes
    ----------
    size, mtime : bytes and epoch seconds.
    name : its time and subband; None when the name says neither.
    wrong : why it is to be set aside at once, or None.
    """

    path: Path
    size: int
    mtime: float
    name: SubbandName | None
    wrong: str | None


class Incoming:
    """The incoming directory, remembering what was taken in so that unchanged files cost one stat each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._taken: dict[str, tuple[int, int]] = {}
        self._moving: dict[str, tuple[int, int, float]] = {}

    def scan(self) -> Iterator[Seen]:
        """Every file that is new or changed, in order of name, which is order of time.

        Raises Transient when the directory is not there: a mount may come back.
        """
        present: dict[str, tuple[int, float]] = {}  # two numbers of each, for there may be a hundred thousand
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    found = _stat_of_file(entry) if may_be_whole(entry.name) else None
                    if found:
                        present[entry.name] = found
        except OSError as error:
            raise Transient(f"{self.directory}: {error.strerror}; waiting for the directory to come back") from None
        for gone in self._taken.keys() - present.keys():
            del self._taken[gone]
        self._moving = {name: one for name, one in self._moving.items() if name in present}
        for name in sorted(present):
            seen = self._judge(name, *present[name], finished=False)
            if seen:
                yield seen

    def look(self, name: str, *, finished: bool) -> Seen | None:
        """One file by its name, if it is there, new or changed, and whole.

        `finished`: it has just been renamed or closed by its writer, so it need not stand still first.
        """
        try:
            found = (self.directory / name).stat()
        except OSError:
            return None
        if not may_be_whole(name) or not S_ISREG(found.st_mode):
            return None
        return self._judge(name, found.st_size, found.st_mtime, finished=finished)

    def taken(self, seen: Seen) -> None:
        """Do not report this file again until its size or mtime changes."""
        self._taken[seen.path.name] = (seen.size, _key(seen.mtime))
        self._moving.pop(seen.path.name, None)

    def _judge(self, name: str, size: int, mtime: float, *, finished: bool) -> Seen | None:
        if self._taken.get(name) == (size, _key(mtime)):
            return None
        if not finished and not self._stands_still(name, size, mtime):
            return None
        parsed = SubbandName.parse(name)
        wrong = FOREIGN if parsed is None else EMPTY if size == 0 else None
        return Seen(self.directory / name, size, mtime, parsed, wrong)

    def _stands_still(self, name: str, size: int, mtime: float) -> bool:
        """Last written some time ago by its own account, or unchanged under our eyes (clocks may disagree)."""
        if time.time() - mtime >= SETTLED_AFTER_S:
            return True
        before = self._moving.get(name)
        if before is None or before[:2] != (size, _key(mtime)):
            self._moving[name] = (size, _key(mtime), time.monotonic())
            return False
        return time.monotonic() - before[2] >= SETTLED_AFTER_S


def _key(mtime: float) -> int:
    return round(mtime * 1e6)


def may_be_whole(name: str) -> bool:
    """Whether a file of this name is not, by the name alone, still being written or none of ours."""
    return not (name.startswith(".") or "_incomplete" in name or name.endswith(_UNFINISHED))


def _stat_of_file(entry: os.DirEntry[str]) -> tuple[int, float] | None:
    """Size and mtime of a regular file, symlinks followed; None for what is none or vanished meanwhile."""
    try:
        found = entry.stat() if entry.is_file() else None
    except OSError:
        return None
    return None if found is None else (found.st_size, found.st_mtime)
