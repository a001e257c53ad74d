"""`/api/queue`, `/api/groups` and `/api/images`: the state of each group, and the images with their files."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from flask import Response, send_file
from pydantic import BaseModel, Field

from contimg.formats.records import NO_UNIT, GroupId, about, make_record
from contimg.store import ImageList, Running, StoredImage
from contimg.store.activity.status import PendingAge, StageCounts, StateCounts
from contimg.store.files.detail import GroupDetail
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.http.parameters import CutoutQuery, GroupListing, ImageListing, RetryRequest
from web.http.responses import send_product
from web.tiles.flags import FlagSummary, flag_file, read_flag_summary
from web.tiles.service import (
    cut_out_image,
    discard_group,
    find_image,
    read_detail,
    retry_group,
)
from workers.scheduling.group_list import GroupList, list_groups

queue = Api("queue", "/api")
images = Api("images", "/api/images")
FITS, PNG = "application/fits", "image/png"


@dataclass(frozen=True, kw_only=True)
class Queue(GroupList):
    """Groups by state and by next stage, running stages, and the listed groups, the latest observed first."""

    paused: Annotated[bool, about("Whether no stage is started", example=False)]
    states: StateCounts
    waiting: StageCounts
    running: Annotated[tuple[Running, ...], about("Stages in progress")]
    oldest_pending_s: PendingAge


class GroupPath(BaseModel):
    """A group in a path."""

    group: GroupId = Field(min_length=1)


class ImagePath(BaseModel):
    """An image in a path."""

    image_id: Annotated[int, about("Number of the image in the store", NO_UNIT, 12)] = Field(ge=0)


@queue.read("/queue", Queue)
def read_queue(query: GroupListing) -> Queue:
    """Counts, running stages, and groups."""
    return make_record(Queue, current_panel().store.overview.snapshot(shown=0), _list_groups(query))


@queue.read("/groups", GroupList)
def read_groups(query: GroupListing) -> GroupList:
    """Groups, the latest observed first."""
    return _list_groups(query)


@queue.read("/groups/<group>", GroupDetail, NOT_FOUND)
def read_group(path: GroupPath) -> GroupDetail:
    """One group: files, every attempt at each stage, products, events."""
    return read_detail(path.group)


@queue.command("/groups/<group>/retry", GroupDetail, NOT_FOUND, RetryRequest)
def retry(path: GroupPath, body: RetryRequest) -> GroupDetail:
    """Put a failed or discarded group back in the queue, or process a completed one again; see `force`."""
    retry_group(path.group, body.stage, force=body.force)
    return read_detail(path.group)


@queue.command("/groups/<group>/discard", GroupDetail, NOT_FOUND)
def discard(path: GroupPath) -> GroupDetail:
    """Take a group out of the stream; its files stay."""
    discard_group(path.group)
    return read_detail(path.group)


@queue.read("/groups/<group>/flags", FlagSummary, NOT_FOUND)
def read_flags(path: GroupPath) -> FlagSummary:
    """Flagged fractions of a tile by antenna and by channel."""
    return read_flag_summary(path.group)


@queue.read("/groups/<group>/flags.png", PNG)
def flags_png(path: GroupPath) -> Response:
    """Flagged fractions of a tile as a picture."""
    return _send(flag_file(path.group, ".png"), "flag summary", PNG)


@queue.read("/groups/<group>/flags.waterfall.png", PNG)
def flags_waterfall(path: GroupPath) -> Response:
    """Flagged fractions of a tile by antenna and channel, and by time and channel, as a picture."""
    return _send(flag_file(path.group, ".waterfall.png"), "flag summary", PNG)


@images.read("", ImageList)
def read_images(query: ImageListing) -> ImageList:
    """Images, the latest observed first."""
    return current_panel().store.products.list_images(query.conditions(), query.limit, before=query.key)


@images.read("/<int:image_id>", StoredImage, NOT_FOUND)
def read_image(path: ImagePath) -> StoredImage:
    """One image's numbers."""
    return find_image(path.image_id)


@images.read("/<int:image_id>.png", PNG)
def png(path: ImagePath) -> Response:
    """The preview."""
    return _send(find_image(path.image_id).png_path, "preview", PNG)


@images.read("/<int:image_id>/thumbnail", PNG)
def thumbnail(path: ImagePath) -> Response:
    """The small preview."""
    return _send(find_image(path.image_id).thumbnail_path, "thumbnail", PNG)


@images.read("/<int:image_id>.fits", FITS)
def fits(path: ImagePath) -> Response:
    """The FITS image."""
    return _send(find_image(path.image_id).fits_path, "image", FITS)


@images.read("/<int:image_id>.pb.fits", FITS)
def beam_fits(path: ImagePath) -> Response:
    """The primary beam as a FITS image."""
    return _send(find_image(path.image_id).beam_fits_path, "primary beam", FITS)


@images.read("/<int:image_id>.pbcor.fits", FITS)
def pbcor_fits(path: ImagePath) -> Response:
    """The image over the primary beam as a FITS image."""
    return _send(find_image(path.image_id).pbcor_path, "image over the primary beam", FITS)


@images.read("/<int:image_id>/cutout.fits", FITS)
def cutout_fits(path: ImagePath, query: CutoutQuery) -> Response:
    """A part of the image as a FITS image."""
    image = find_image(path.image_id)
    return _send_bytes(cut_out_image(image, query).to_fits(), FITS, f"{image.group}.cutout.fits")


@images.read("/<int:image_id>/cutout.png", PNG)
def cutout_png(path: ImagePath, query: CutoutQuery) -> Response:
    """A part of the image as a picture."""
    image = find_image(path.image_id)
    return _send_bytes(cut_out_image(image, query).to_png(image.rms_jy, image.peak_jy), PNG, f"{image.group}.png")


def _list_groups(query: GroupListing) -> GroupList:
    return list_groups(
        current_panel().store, query.conditions(), query.limit, has_calibrator=query.has_calibrator, after=query.cursor
    )


def _send_bytes(content: bytes, mimetype: str, name: str) -> Response:
    is_download = mimetype == FITS
    return send_file(io.BytesIO(content), mimetype=mimetype, as_attachment=is_download, download_name=name)


def _send(path: Path | None, name: str, mimetype: str) -> Response:
    return send_product(path, current_panel().config().output_dir, name, mimetype, download=mimetype == FITS)
