"""`/api/epochs`, `/api/mosaics` and the queue of mosaics."""

from dataclasses import dataclass
from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from contimg.common.errors import BadInput
from contimg.formats.records import NO_UNIT, about
from contimg.store import EpochList, EpochRecord, MosaicList, State, StoredMosaic
from contimg.store.epochs.mosaics import FILES, EpochKey
from web.access.user import current_user
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.http.errors import RequestError
from web.http.parameters import MAX_ID, GroupKey, ImageKey, Listing, Time, Verdict
from web.http.responses import send_product
from web.streaming.api import streaming

epochs = Api("epochs", "/api/epochs")
mosaics = Api("mosaics", "/api/mosaics")
_CURSOR = "Where the page begins: `next` of the page before; without it at the first entry"
_WAITING = (State.COLLECTING, State.PENDING, State.IN_PROGRESS)


class EpochListing(Listing):
    """Parameters of a page of epochs."""

    state: Annotated[State | None, about("State of the epoch", example="pending")] = None
    since: Annotated[Time, about("Windows that begin at or after this time, or day", "ISO 8601, UTC", "2026-02-22")] = (
        None
    )
    until: Annotated[Time, about("Windows that begin before this time", "ISO 8601, UTC", "2026-02-23")] = None
    cursor: Annotated[GroupKey, about(_CURSOR, example="1771729445.0~2026-02-22_L0130_D+163")] = None


class MosaicListing(Listing):
    """Parameters of a page of mosaics."""

    grade: Annotated[Verdict | None, about("QA grade", example="good")] = None
    image: Annotated[
        int | None, Field(ge=0, le=MAX_ID), about("Number of a tile image that they were given", NO_UNIT, 12)
    ] = None
    cursor: Annotated[ImageKey, about(_CURSOR, example="1771729445.0~3")] = None


class EpochPath(BaseModel):
    """An epoch in a path."""

    epoch: EpochKey = Field(min_length=1, max_length=40)


class MosaicPath(BaseModel):
    """A mosaic in a path."""

    mosaic_id: Annotated[int, about("Number of the mosaic in the store", NO_UNIT, 3)] = Field(ge=0)


@dataclass(frozen=True, kw_only=True)
class MosaicQueue:
    """The epochs that wait for their mosaic."""

    epochs: Annotated[
        tuple[EpochRecord, ...], about("Epochs that collect tiles, are pending or in progress, the latest first")
    ]
    collecting: Annotated[int, about("Epochs that collect tiles", "epochs", 2)]
    pending: Annotated[int, about("Epochs that are ready", "epochs", 1)]
    in_progress: Annotated[int, about("Epochs whose mosaic is made now", "epochs", 0)]


def find_epoch(key: str) -> EpochRecord:
    """Return the live epoch of a key; RequestError, 404, when there is none.

    Parameters
    ----------
    key : of the epoch.
    """
    try:
        return current_panel().store.epochs.epoch(key)
    except BadInput as error:
        raise RequestError(404, str(error), "GET /api/epochs lists the epochs", code="no_such_epoch") from None


def find_mosaic(mosaic_id: int) -> StoredMosaic:
    """Return the mosaic of an id; RequestError, 404, when there is none.

    Parameters
    ----------
    mosaic_id : number of the mosaic in the store.
    """
    mosaic = current_panel().store.mosaics.mosaic(mosaic_id) if mosaic_id <= MAX_ID else None
    if mosaic is None:
        text = f"mosaic {mosaic_id}: not in the store"
        raise RequestError(404, text, "GET /api/mosaics lists the mosaics", code="no_such_mosaic")
    return mosaic


def read_mosaic_queue() -> MosaicQueue:
    """Read the epochs that wait for their mosaic, at most 500."""
    waiting = current_panel().store.epochs.list_epochs(500, states=_WAITING).epochs
    counts = {str(state): sum(epoch.state == state for epoch in waiting) for state in _WAITING}
    return MosaicQueue(epochs=waiting, **counts)


def retry_epoch(key: str) -> EpochRecord:
    """Requeue a failed, discarded or completed epoch, and return it.

    Parameters
    ----------
    key : of the epoch.

    Raises
    ------
    RequestError : 404, when there is no such epoch.
    BadInput : it is queued already.
    """
    current_panel().store.jobs.retry(find_epoch(key).job_id, by=current_user().name)
    return find_epoch(key)


@streaming.read("/streaming/mosaic-queue", MosaicQueue)
def mosaic_queue() -> MosaicQueue:
    """The epochs that wait for their mosaic, the latest observed first, with the tiles of each.

    At most 500 epochs; /api/epochs lists all.
    """
    return read_mosaic_queue()


@epochs.read("", EpochList)
def read_epochs(query: EpochListing) -> EpochList:
    """Epochs, the latest observed first.

    An epoch is a sidereal window of a declination strip on one day: the tile images in it become one mosaic.
    """
    return current_panel().store.epochs.list_epochs(
        query.limit, state=query.state, since_s=query.since, until_s=query.until, after=query.cursor
    )


@epochs.read("/<epoch>", EpochRecord, NOT_FOUND)
def read_epoch(path: EpochPath) -> EpochRecord:
    """One epoch: its window, its tile images, the tiles it waits for, and its job.

    `mosaic_id` is the number of its mosaic in /api/mosaics.
    """
    return find_epoch(path.epoch)


@epochs.command("/<epoch>/retry", EpochRecord, NOT_FOUND)
def retry(path: EpochPath) -> EpochRecord:
    """Make the mosaic of a failed, discarded or completed epoch again.

    An epoch of one tile, which the stream leaves out, is made in this way. One that is queued is refused (409).
    """
    return retry_epoch(path.epoch)


@mosaics.read("", MosaicList)
def read_mosaics(query: MosaicListing) -> MosaicList:
    """Mosaics, the latest observed first.

    Fluxes are corrected for the primary beam, in Jy per beam.
    """
    mosaics = current_panel().store.mosaics
    return mosaics.list_mosaics(query.limit, grade=query.grade, image_id=query.image, before=query.cursor)


@mosaics.read("/<int:mosaic_id>", StoredMosaic, NOT_FOUND)
def read_mosaic(path: MosaicPath) -> StoredMosaic:
    """One mosaic: its numbers, its members with their weights and shifts, and the images left out.

    Fluxes are corrected for the primary beam, in Jy per beam.
    """
    return find_mosaic(path.mosaic_id)


@mosaics.read("/<int:mosaic_id>.fits", "application/fits")
def fits(path: MosaicPath) -> Response:
    """The mosaic as a FITS image.

    Fluxes corrected for the primary beam, Jy per beam.
    """
    return _send(path, "fits")


@mosaics.read("/<int:mosaic_id>.weight.fits", "application/fits")
def weight_fits(path: MosaicPath) -> Response:
    """The weights as a FITS image.

    The sum of pb²/σ² over the members, 1/Jy².
    """
    return _send(path, "weight.fits")


@mosaics.read("/<int:mosaic_id>.rms.fits", "application/fits")
def rms_fits(path: MosaicPath) -> Response:
    """The noise as a FITS image.

    The noise at each pixel, Jy per beam.
    """
    return _send(path, "rms.fits")


@mosaics.read("/<int:mosaic_id>.png", "image/png")
def png(path: MosaicPath) -> Response:
    """The preview of a mosaic.

    The mosaic in colours, with grid and sources.
    """
    return _send(path, "png")


@mosaics.read("/<int:mosaic_id>/thumbnail", "image/png")
def thumbnail(path: MosaicPath) -> Response:
    """The small preview of a mosaic.

    The mosaic in colours without axes.
    """
    return _send(path, "thumb.png")


@mosaics.read("/<int:mosaic_id>.qa.png", "image/png")
def qa_png(path: MosaicPath) -> Response:
    """Plots of the overlaps of a mosaic.

    Fluxes, positions and primary beam in overlapping tiles; 404 for a mosaic without shared sources.
    """
    return _send(path, "qa.png")


@mosaics.read("/<int:mosaic_id>.comparison.png", "image/png")
def comparison_png(path: MosaicPath) -> Response:
    """Plots of the comparison with the reference catalogue.

    Flux ratio against signal to noise and distance from the centre, offsets over the mosaic, completeness. A mosaic
    that was made without a reference catalogue has none: 404.
    """
    return _send(path, "comparison.png")


def _send(path: MosaicPath, name: str) -> Response:
    is_fits = name.endswith("fits")
    mimetype = "application/fits" if is_fits else "image/png"
    output_dir = current_panel().config().output_dir
    return send_product(find_mosaic(path.mosaic_id).file(name), output_dir, FILES[name][1], mimetype, download=is_fits)
