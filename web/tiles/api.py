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
from web.http.bodies import RetryRequest
from web.http.parameters import CutoutQuery, GroupListing, ImageListing
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
FITS, PNG, CSV = "application/fits", "image/png", "text/csv"


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
    """Counts, running stages, and groups.

    The same list as of /api/groups, with the counts of all groups by state and the stages in progress.
    """
    return make_record(Queue, current_panel().store.overview.snapshot(shown=0), _list_groups(query))


@queue.read("/groups", GroupList)
def read_groups(query: GroupListing) -> GroupList:
    """Groups, the latest observed first.

    A group is the subband files of one tile of 309 s. Conditions that are left out select every group.
    """
    return _list_groups(query)


@queue.read("/groups/<group>", GroupDetail, NOT_FOUND)
def read_group(path: GroupPath) -> GroupDetail:
    """One group: files, every attempt at each stage, products, events.

    `events` are the newest 50 of the group.
    """
    return read_detail(path.group)


@queue.command("/groups/<group>/retry", GroupDetail, NOT_FOUND, RetryRequest)
def retry(path: GroupPath, body: RetryRequest) -> GroupDetail:
    """Put a failed or discarded group back in the queue; process a completed one again.

    Without a stage it continues where the group stopped, and a completed group begins at the first stage. The
    number of attempts is reset. A group that is queued or in progress is refused (409), and without `force` one that
    has too few subbands.
    """
    retry_group(path.group, body.stage, force=body.force)
    return read_detail(path.group)


@queue.command("/groups/<group>/discard", GroupDetail, NOT_FOUND)
def discard(path: GroupPath) -> GroupDetail:
    """Take a group out of the stream; its files stay.

    Nothing of the group is processed any more; `retry` returns it to the queue. A group that is in progress or
    completed is refused (409).
    """
    discard_group(path.group)
    return read_detail(path.group)


@queue.read("/groups/<group>/flags", FlagSummary, NOT_FOUND)
def read_flags(path: GroupPath) -> FlagSummary:
    """Flagged fractions of a tile by antenna and by channel.

    Written by the calibrate stage: the samples that were flagged as converted, with zeros and values that are not
    numbers, and those after flagging.
    """
    return read_flag_summary(path.group)


@queue.read("/groups/<group>/flags.png", PNG)
def flags_png(path: GroupPath) -> Response:
    """Flagged fractions of a tile as a picture.

    The plot of /api/groups/<group>/flags: by antenna above, by channel below.
    """
    return _send(flag_file(path.group, ".png"), "flag summary", PNG)


@queue.read("/groups/<group>/flags.waterfall.png", PNG)
def flags_waterfall(path: GroupPath) -> Response:
    """Flagged fractions of a tile by antenna and channel, and by time and channel, as a picture.

    Written by the calibrate stage, as /api/groups/<group>/flags.
    """
    return _send(flag_file(path.group, ".waterfall.png"), "flag summary", PNG)


@images.read("", ImageList)
def read_images(query: ImageListing) -> ImageList:
    """Images, the latest observed first.

    Fluxes are apparent, in Jy per beam; `pbcor_fits_url` is the image with true fluxes. Conditions that are left
    out select every image; `ra`, `dec` and `radius` are given together and select the images whose centre is in
    the circle.
    """
    return current_panel().store.products.list_images(query.conditions(), query.limit, before=query.key)


@images.read("/<int:image_id>", StoredImage, NOT_FOUND)
def read_image(path: ImagePath) -> StoredImage:
    """One image's numbers.

    Fluxes are apparent, in Jy per beam, not corrected for the primary beam.
    """
    return find_image(path.image_id)


@images.read("/<int:image_id>.png", PNG)
def png(path: ImagePath) -> Response:
    """The preview.

    The image in colours with axes, synthesized beam and sources, about 1400 pixels wide.
    """
    return _send(find_image(path.image_id).png_path, "preview", PNG)


@images.read("/<int:image_id>/thumbnail", PNG)
def thumbnail(path: ImagePath) -> Response:
    """The small preview.

    The image in colours without axes, about 256 pixels wide.
    """
    return _send(find_image(path.image_id).thumbnail_path, "thumbnail", PNG)


@images.read("/<int:image_id>/comparison.png", PNG)
def comparison_png(path: ImagePath) -> Response:
    """Plots of the comparison with the reference catalogue.

    Flux ratio against signal to noise and distance from the centre, offsets over the image, completeness. An image
    that was not compared answers 404.
    """
    return _send(find_image(path.image_id).comparison_path, "comparison with a catalogue", PNG)


@images.read("/<int:image_id>/subtracted.csv", CSV)
def subtracted_csv(path: ImagePath) -> Response:
    """The sources outside the image that its cleaning subtracted, as CSV.

    Name, position (ICRS), apparent flux at the image's frequency, distance from the centre and number of components,
    the brightest first. An image of an earlier version answers 404.
    """
    return _send(find_image(path.image_id).subtracted_path, "table of subtracted sources", CSV)


@images.read("/<int:image_id>.fits", FITS)
def fits(path: ImagePath) -> Response:
    """The FITS image.

    Apparent fluxes, Jy per beam, with flat noise; axes RA, Dec (SIN projection, ICRS), frequency and Stokes.
    """
    return _send(find_image(path.image_id).fits_path, "image", FITS)


@images.read("/<int:image_id>.pb.fits", FITS)
def beam_fits(path: ImagePath) -> Response:
    """The primary beam as a FITS image.

    The response of the primary beam, 0 to 1; the image divided by it has true fluxes.
    """
    return _send(find_image(path.image_id).beam_fits_path, "primary beam", FITS)


@images.read("/<int:image_id>.pbcor.fits", FITS)
def pbcor_fits(path: ImagePath) -> Response:
    """The image over the primary beam as a FITS image.

    True fluxes, Jy per beam; blank where the primary beam is below 5 %.
    """
    return _send(find_image(path.image_id).pbcor_path, "image over the primary beam", FITS)


@images.read("/<int:image_id>/cutout.fits", FITS)
def cutout_fits(path: ImagePath, query: CutoutQuery) -> Response:
    """A part of the image as a FITS image.

    The square around a direction, cut off at the edge of the image, with the header of the image and its own
    reference pixel. A direction outside the image answers 404.
    """
    image = find_image(path.image_id)
    return _send_bytes(cut_out_image(image, query).to_fits(), FITS, f"{image.group}.cutout.fits")


@images.read("/<int:image_id>/cutout.png", PNG)
def cutout_png(path: ImagePath, query: CutoutQuery) -> Response:
    """A part of the image as a picture.

    The square of /api/images/<image_id>/cutout.fits in the colours of the preview, north up and east to the left,
    enlarged to at least 512 pixels.
    """
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
    return send_product(path, current_panel().config().output_dir, name, mimetype, download=mimetype in (FITS, CSV))
