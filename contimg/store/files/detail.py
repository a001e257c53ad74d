"""A group with everything that belongs to it, for the API, the panel and the command line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from contimg.formats.records import about
from contimg.store.activity.events import EventRecord
from contimg.store.files.groups import FileRecord, GroupRecord
from contimg.store.jobs.records import StageRunRecord
from contimg.store.products.records import StoredImage, StoredMS

if TYPE_CHECKING:
    from contimg.store import Store

MAX_EVENTS = 50


@dataclass(frozen=True, kw_only=True)
class GroupDetail(GroupRecord):
    """A group with its files, every attempt at each stage, its products and its events."""

    files: Annotated[tuple[FileRecord, ...], about("Its files, quarantined ones included")]
    runs: Annotated[tuple[StageRunRecord, ...], about("Every attempt at each stage")]
    measurement_set: Annotated[StoredMS | None, about("Its Measurement Set; null before conversion")]
    image: Annotated[StoredImage | None, about("Its image; null before imaging")]
    events: Annotated[tuple[EventRecord, ...], about("Its newest events, the newest first")]


def read_detail(store: "Store", group: str) -> GroupDetail | None:
    """Return a group with what belongs to it; None when the store has no such group.

    Parameters
    ----------
    store : the store.
    group : id of the group.
    """
    record = store.files.group(group)
    if record is None:
        return None
    return GroupDetail(
        **vars(record),
        files=store.files.of_group(group),
        runs=store.jobs.runs(group),
        measurement_set=store.products.measurement_set(group),
        image=store.products.image_of(group),
        events=store.events.last(MAX_EVENTS, group=group),
    )
