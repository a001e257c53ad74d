"""Groups and images of the store, for the API and the pages."""

from typing import TYPE_CHECKING, NoReturn

from contimg.common.errors import BadInput
from contimg.store import GroupRecord, JobRecord, Stage, StoredImage
from contimg.store.files.detail import GroupDetail
from contimg.store.files.detail import read_detail as read_group_detail
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID, CutoutQuery
from web.http.responses import product_file

if TYPE_CHECKING:
    from contimg.tile.image.cutout import Cutout


def find_group(group: str) -> GroupRecord:
    """Return the group of an id.

    Parameters
    ----------
    group : its id.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    return current_panel().store.files.group(group) or _refuse(group)


def read_detail(group: str) -> GroupDetail:
    """Return a group with what belongs to it.

    Parameters
    ----------
    group : its id.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    return read_group_detail(current_panel().store, group) or _refuse(group)


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


def cut_out_image(image: StoredImage, query: CutoutQuery) -> "Cutout":
    """Return a part of an image.

    Parameters
    ----------
    image : the image.
    query : centre and size of the part.

    Raises
    ------
    RequestError, 404, when the image has no file, or the part lies outside it.
    """
    from contimg.tile.image.cutout import cut_out  # astropy, which only this needs

    path = image.pbcor_path if query.pbcor else image.fits_path
    file = product_file(path, current_panel().config().output_dir, "image")
    try:
        return cut_out(file, query.ra, query.dec, query.size)
    except BadInput as error:
        hint = f"the image is centred at ra={image.ra_deg:g}, dec={image.dec_deg:g}"
        raise RequestError(404, str(error), hint, code="outside_image") from None


def retry_group(group: str, stage: Stage | None, *, force: bool = False) -> JobRecord:
    """Put a failed, discarded or completed group back in the queue, from a stage on.

    Parameters
    ----------
    group : its id.
    stage : the first stage to run; None: the one at which the group stopped, or the first one if it is completed.

    force : also a group with fewer subbands than the minimum.

    Returns
    -------
    the group's job, which is pending.

    Raises
    ------
    RequestError, 404, when the store has no such group; Incomplete, when it has too few subbands; BadInput, when it is
    queued or in progress, has no usable file, or has not reached the stage.
    """
    find_group(group)
    panel = current_panel()
    job = panel.store.jobs.retry(group, stage=stage, by=current_user().label, force=force)
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
    panel.store.jobs.discard(group, by=current_user().label)
    panel.forget_overview()


def _refuse(group: str) -> NoReturn:
    raise RequestError(
        404, f"group {group[:40]}: not in the store", "GET /api/groups lists the groups", code="no_such_group"
    )
