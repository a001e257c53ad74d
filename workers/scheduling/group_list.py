"""The list of groups, with whether a calibrator is in the beam, for the API and the command line."""

from dataclasses import dataclass, replace
from typing import Annotated

from contimg.formats.records import Page, about, page_key
from contimg.store import GroupFilter, GroupRecord, Store
from workers.scheduling.calibrator_tiles import CalibratorTiles

HasCalibrator = Annotated[
    bool, about("Whether a calibrator is in the beam, at the declination of the newest Measurement Set", example=True)
]


@dataclass(frozen=True, kw_only=True)
class ListedGroup(GroupRecord):
    """A group as an entry of a list."""

    expected_subbands: Annotated[int, about("Subbands of a complete group", "subbands", 16)]
    has_calibrator: HasCalibrator


@dataclass(frozen=True, kw_only=True)
class GroupList(Page):
    """Groups, the latest observed first."""

    groups: Annotated[tuple[ListedGroup, ...], about("Groups, the latest observed first")]


def list_groups(
    store: Store, groups: GroupFilter, limit: int = 20, *, has_calibrator: bool | None = None,
    after: tuple[float, str] | None = None,
) -> GroupList:  # fmt: skip
    """Return a page of the selected groups, with their number.

    Parameters
    ----------
    store : of the groups.
    groups : the conditions.
    limit : largest number of groups.
    has_calibrator : only groups with a calibrator in the beam, or only those without; None for both.
    after : key of the last group of the page before, time of observation (epoch seconds) and id.
    """
    tiles, files, selected = CalibratorTiles.of(store), store.files, groups
    if has_calibrator is None:
        total = files.count_groups(groups)
    else:  # not a column: it follows from time and declination
        keys = files.group_keys(groups)
        flags = tiles.have_calibrator([reference_s for reference_s, _ in keys])
        matching = [key for key, flag in zip(keys, flags, strict=True) if flag == has_calibrator]
        following = [key for key in matching if after is None or key < after]
        total, selected = len(matching), replace(groups, ids=tuple(group for _, group in following[: limit + 1]))
    listed = files.find_groups(selected, limit + 1, after=after)
    shown, expected = listed[:limit], store.database.rules.expected_subbands
    if has_calibrator is None:
        flags = tiles.have_calibrator([group.reference_s for group in shown])
    else:
        flags = [has_calibrator] * len(shown)
    return GroupList(
        groups=tuple(
            ListedGroup(**vars(group), expected_subbands=expected, has_calibrator=flag)
            for group, flag in zip(shown, flags, strict=True)
        ),
        total=total,
        next=page_key(shown[-1].reference_s, shown[-1].id) if len(listed) > limit else None,
    )
