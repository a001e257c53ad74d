"""Subband file names, and the rule that sorts files into groups.

The correlator's 16 machines stamp names with their own clocks: within a group the stamps differ by up to 82 s, while
groups follow each other every 308-309 s. A file therefore joins a group by nearness within a tolerance.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contimg.common.errors import Misconfigured

TOLERANCE_S = 120.0
_STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}"
_NAME = re.compile(rf"({_STAMP})_sb(\d{{2}})\.hdf5", re.ASCII)
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True)
class SubbandFile:
    """A subband file, with the parts of its name `YYYY-MM-DDTHH:MM:SS_sbNN.hdf5`.

    Attributes
    ----------
    path : the file.
    time_s : the stamp in its name, UTC, seconds since 1970 (whole).
    subband : 0, the highest in frequency, to 15 (a name may have up to 99).
    size : bytes; 0 when not read.
    mtime : modification time, seconds since 1970; 0 when not read.
    """

    path: Path
    time_s: float
    subband: int
    size: int = 0
    mtime: float = 0.0

    @classmethod
    def parse(cls, path: Path, size: int = 0, mtime: float = 0.0) -> "SubbandFile | None":
        """Parse the name of a file; None for `_incomplete` names, other names and impossible dates.

        Parameters
        ----------
        path : of the file; only its name is used.
        size, mtime : to keep in the result, bytes and seconds since 1970.
        """
        match = _NAME.fullmatch(path.name)
        if match is None:
            return None
        try:
            return cls(path, seconds_of(match[1]), int(match[2]), size, mtime)
        except ValueError:
            return None

    @property
    def stamp(self) -> str:
        """The time as in the name; also the id of a group that this file founds."""
        return stamp_of(self.time_s)


def is_group_id(name: str) -> bool:
    """Whether a name has the form of a group's id, as of `SubbandFile.stamp`.

    Parameters
    ----------
    name : of a group or a product.
    """
    return re.fullmatch(_STAMP, name) is not None


def subband_file_name(time_s: float, subband: int) -> str:
    """Return the name of the file of a subband that was stamped at a time.

    Parameters
    ----------
    time_s : the stamp, UTC, seconds since 1970; fractions are dropped.
    subband : its number.

    Returns
    -------
    `YYYY-MM-DDTHH:MM:SS_sbNN.hdf5`.
    """
    return f"{stamp_of(time_s)}_sb{subband:02d}.hdf5"


def stamp_of(time_s: float) -> str:
    """Format a time as `YYYY-MM-DDTHH:MM:SS`, as in file names and ids of groups.

    Parameters
    ----------
    time_s : UTC, seconds since 1970; fractions are dropped.
    """
    return datetime.fromtimestamp(time_s, UTC).strftime(_TIME_FORMAT)


def seconds_of(stamp: str) -> float:
    """Parse `YYYY-MM-DDTHH:MM:SS` (UTC) to seconds since 1970.

    Parameters
    ----------
    stamp : such as the id of a group.

    Raises
    ------
    ValueError : it has another form, or is no date.
    """
    return datetime.strptime(stamp, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class GroupInReach:
    """The properties of a group that the grouping rule uses.

    Attributes
    ----------
    id : the group's name.
    reference_s : time of the file that founded it, seconds since 1970.
    subbands : those that it has.
    echo : it was founded by a file whose subband the groups around it already had (see `founds_echo`).
    """

    id: str
    reference_s: float
    subbands: Collection[int]
    echo: bool = False


def nearest_group(file: SubbandFile, groups: Iterable[GroupInReach], tolerance_s: float = TOLERANCE_S) -> str | None:
    """Return the id of the group that a file joins, or None when it founds its own.

    It joins the nearest group whose reference time lies within the tolerance and which lacks its subband. An echo comes
    last: a single duplicate must not attract the rest of a good group.

    Parameters
    ----------
    file : the file.
    groups : those to choose from; groups out of the tolerance are ignored.
    tolerance_s : largest difference from the reference time.
    """
    candidates = [
        group
        for group in groups
        if abs(group.reference_s - file.time_s) <= tolerance_s and file.subband not in group.subbands
    ]
    nearest = min(candidates, key=lambda g: (g.echo, abs(g.reference_s - file.time_s), g.reference_s), default=None)
    return nearest.id if nearest else None


def founds_echo(file: SubbandFile, groups: Iterable[GroupInReach], tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether a file that joins no group is within the tolerance of one, which then has its subband already.

    Parameters
    ----------
    file : the file.
    groups : those around it.
    tolerance_s : largest difference from a group's reference time.
    """
    return any(abs(group.reference_s - file.time_s) <= tolerance_s for group in groups)


def find_groups(directory: Path, tolerance_s: float = TOLERANCE_S) -> dict[str, dict[int, Path]]:
    """Sort the subband files of a directory into groups; files with other names are ignored.

    Parameters
    ----------
    directory : with the subband files.
    tolerance_s : see `nearest_group`.

    Returns
    -------
    path by subband, by the group's id, in order of time.

    Raises
    ------
    Misconfigured : it is not a directory.
    """
    if not directory.is_dir():
        raise Misconfigured(f"{directory}: not a directory; give the one that has the subband files")
    files = [file for path in directory.iterdir() if (file := SubbandFile.parse(path))]
    groups: dict[str, dict[int, Path]] = {}
    reference_s: dict[str, float] = {}
    for file in sorted(files, key=lambda file: (file.time_s, file.subband)):
        near = [GroupInReach(group, reference_s[group], groups[group].keys()) for group in list(groups)[-4:]]
        group = nearest_group(file, near, tolerance_s) or file.stamp
        groups.setdefault(group, {})[file.subband] = file.path
        reference_s.setdefault(group, file.time_s)
    return groups


def check_tolerance(tolerance_s: float, cadence_s: float) -> None:
    """Check that the tolerance is positive and less than half the cadence; larger ones would mix groups.

    Parameters
    ----------
    tolerance_s : see `nearest_group`.
    cadence_s : time from one group to the next.

    Raises
    ------
    Misconfigured : it is not.
    """
    if not 0 < tolerance_s < cadence_s / 2:
        raise Misconfigured(
            f"CONTIMG_GROUP_TOLERANCE_S={tolerance_s:g}: must be above 0 and less than half the cadence of "
            f"{cadence_s:g} s, or files of neighbouring groups would mix"
        )
