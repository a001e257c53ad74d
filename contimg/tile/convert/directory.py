"""The groups of subband files that lie in a directory now: for one run by hand. The service keeps them in its store."""

from pathlib import Path

from contimg.errors import Misconfigured
from contimg.formats.uvh5.grouping import TOLERANCE_S, GroupInReach, SubbandName, nearest_group


def groups_in(directory: Path, tolerance_s: float = TOLERANCE_S) -> dict[str, dict[int, Path]]:
    """Sort a directory's subband files into groups: path by subband, by the group's name, in order of time.

    Files of other names, `_incomplete` ones among them, are left out. Raises Misconfigured for a wrong directory.
    """
    if not directory.is_dir():
        raise Misconfigured(f"{directory}: not a directory; give the one that holds the subband files")
    named = [(name, path) for path in directory.iterdir() if (name := SubbandName.parse(path))]
    groups: dict[str, dict[int, Path]] = {}
    reference_s: dict[str, float] = {}
    for name, path in sorted(named, key=lambda pair: (pair[0].time_s, pair[0].subband)):
        near = [GroupInReach(group, reference_s[group], files.keys()) for group, files in list(groups.items())[-4:]]
        group = nearest_group(name, near, tolerance_s) or name.stamp
        groups.setdefault(group, {})[name.subband] = path
        reference_s.setdefault(group, name.time_s)
    return groups
