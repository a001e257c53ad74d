"""Groups and images of the store, for the API and the pages."""

from dataclasses import dataclass
from typing import Annotated

from contimg.formats.records import about
from contimg.store import (
    EventRecord,
    FileRecord,
    GroupRecord,
    JobRecord,
    Stage,
    StageRunRecord,
    StoredImage,
    StoredMS,
)  # fmt: skip
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID

MAX_EVENTS = 50


@dataclass(frozen=True, kw_only=True)
class GroupDetail(GroupRecord):
    """A group with its files, every attempt at each stage, its products and its events."""

    files: Annotated[tuple[FileRecord, ...], about("Its files, quarantined ones included")]
    runs: Annotated[tuple[StageRunRecord, ...], about("Every attempt at each stage")]
    measurement_set: Annotated[StoredMS | None, about("Its Measurement Set; null before conversion")]
    image: Annotated[StoredImage | None, about("Its image; null before imaging")]
    events: Annotated[tuple[EventRecord, ...], about("Its newest events, the newest first")]


def find_group(group: str) -> GroupRecord:
    """Return the group of an id.

    Parameters
    ----------
    group : its id.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    record = current_panel().store.files.group(group)
    if record is None:
        raise RequestError(
            404, f"group {group[:40]}: not in the store", "GET /api/groups lists the groups", code="no_such_group"
        )
    return record


def read_detail(group: str) -> GroupDetail:
    """Return a group with what belongs to it.

    Parameters
    ----------
    group : its id.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    record, store = find_group(group), current_panel().store
    return GroupDetail(
        **vars(record),
        files=store.files.of_group(group),
        runs=store.jobs.runs(group),
        measurement_set=store.products.measurement_set(group),
        image=store.products.image_of(group),
        events=store.events.last(MAX_EVENTS, group=group),
    )


def find_image(image_id: int) -> StoredImage:
    """Return the image of an id.

    Parameters
    ----------
    image_id : number of the image in the store; one above `MAX_ID` is not looked up.

    Raises
    ------
    RequestError, 404, when the store has no such image.
    """
    image = current_panel().store.products.image(image_id) if image_id <= MAX_ID else None
    if image is None:
        raise RequestError(
            404, f"image {image_id}: not in the store", "GET /api/images lists the images", code="no_such_image"
        )
    return image


def retry_group(group: str, stage: Stage | None) -> JobRecord:
    """Put a failed, discarded or completed group back in the queue, from a stage on.

    Parameters
    ----------
    group : its id.
    stage : the first stage to run; None: the one at which the group stopped, or the first one if it is completed.

    Returns
    -------
    the group's job, which is pending.

    Raises
    ------
    RequestError, 404, when the store has no such group; BadInput, when it is queued or in progress, has no usable file,
    or has not reached the stage.
    """
    find_group(group)
    panel = current_panel()
    job = panel.store.jobs.retry(group, stage=stage)
    panel.store.events.add(f"retry requested by {current_user().label}", group=group)
    panel.forget_overview()
    return job


def discard_group(group: str) -> None:
    """Take a group out of the stream; its files stay.

    Parameters
    ----------
    group : its id.

    Raises
    ------
    RequestError, 404, when the store has no such group; BadInput, when it is in progress or completed.
    """
    find_group(group)
    panel = current_panel()
    panel.store.jobs.discard(group)
    panel.store.events.add(f"discarded by {current_user().label}", level="warning", group=group)
    panel.forget_overview()
