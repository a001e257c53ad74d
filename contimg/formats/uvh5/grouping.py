"""Subband file names, and the rule that sorts files into groups. Pure: no disk, no database.

The correlator's 16 machines stamp their own clocks: real times within one group differ by up to 82 s, while groups
come every 308-309 s. So a name's second says little, and nearness within a tolerance decides.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contimg.errors import Misconfigured

TOLERANCE_S = 120.0
_NAME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})_sb(\d{2})\.hdf5")
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True)
class SubbandName:
    """What a file name `YYYY-MM-DDTHH:MM:SS_sbNN.hdf5` says.

    Attributes
    ----------
    time_s : the stamp, UTC, seconds since 1970 (whole).
    subband : 0, the highest in frequency, to 15 (a name may say up to 99).
    """

    time_s: float
    subband: int

    @classmethod
    def parse(cls, name: str | Path) -> "SubbandName | None":
        """The stamp and subband of a file name, or None: `_incomplete` names, other names, impossible dates."""
        match = _NAME.fullmatch(Path(name).name)
        if match is None:
            return None
        try:
            return cls(seconds_of(match[1]), int(match[2]))
        except ValueError:
            return None

    @property
    def stamp(self) -> str:
        """The time as it stands in the name; also the id of a group that this file founds."""
        return stamp_of(self.time_s)

    def __str__(self) -> str:
        return f"{self.stamp}_sb{self.subband:02d}.hdf5"


def stamp_of(time_s: float) -> str:
    """Epoch seconds (UTC) as `YYYY-MM-DDTHH:MM:SS`."""
    return datetime.fromtimestamp(time_s, UTC).strftime(_TIME_FORMAT)


def seconds_of(stamp: str) -> float:
    """`YYYY-MM-DDTHH:MM:SS` (UTC) as epoch seconds; raises ValueError for another form."""
    return datetime.strptime(stamp, _TIME_FORMAT).replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class GroupInReach:
    """What the grouping rule needs to know of a group.

    Attributes
    ----------
    id : the group's name.
    reference_s : time of the file that founded it, epoch seconds.
    subbands : those it has.
    echo : it was founded by a file whose subband the groups around it already had (see `founds_echo`).
    """

    id: str
    reference_s: float
    subbands: Collection[int]
    echo: bool = False


def nearest_group(file: SubbandName, groups: Iterable[GroupInReach], tolerance_s: float = TOLERANCE_S) -> str | None:
    """The group that a file joins, or None when it founds its own.

    It joins the nearest whose reference time lies within the tolerance and which lacks its subband. An echo comes
    after every other: a single duplicate must not draw the rest of a good group to itself.
    """
    open_groups = [
        group
        for group in groups
        if abs(group.reference_s - file.time_s) <= tolerance_s and file.subband not in group.subbands
    ]
    best = min(open_groups, key=lambda g: (g.echo, abs(g.reference_s - file.time_s), g.reference_s), default=None)
    return best.id if best else None


def founds_echo(file: SubbandName, groups: Iterable[GroupInReach], tolerance_s: float = TOLERANCE_S) -> bool:
    """Whether a file that joins no group stands within the tolerance of one, which then has its subband already."""
    return any(abs(group.reference_s - file.time_s) <= tolerance_s for group in groups)


def check_tolerance(tolerance_s: float, cadence_s: float) -> None:
    """Raises Misconfigured unless the tolerance is positive and under half the cadence, where groups would mix."""
    if not 0 < tolerance_s < cadence_s / 2:
        raise Misconfigured(
            f"CONTIMG_GROUP_TOLERANCE_S={tolerance_s:g}: must be above 0 and under half the cadence of "
            f"{cadence_s:g} s, or files of neighbouring groups would mix"
        )
