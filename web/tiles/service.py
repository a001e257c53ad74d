"""Groups and images of the store, for the API and the pages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

from contimg.errors import BadInput
from contimg.formats.records import about
from contimg.store import GroupRecord, JobRecord, Stage, StoredImage
from contimg.store.files.detail import GroupDetail
from contimg.store.files.detail import read_detail as read_group_detail
from contimg.tile.products import FLAGS
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID, CutoutQuery
from web.http.responses import product_file

if TYPE_CHECKING:
    from contimg.tile.image.cutout import Cutout


_Fractions = tuple[float, float]


@dataclass(frozen=True)
class FlagSummary:
    """Flagged fractions of a tile as converted, zeros and values that are not numbers included, and after flagging."""

    before: Annotated[float, about("Flagged part of the samples as converted", "fraction", 0.02)]
    after: Annotated[float, about("Flagged part of the samples after flagging", "fraction", 0.08)]
    by_hand: Annotated[float, about("Part of the samples that is flagged by hand", "fraction", 0.0)]
    dead: Annotated[Mapping[str, str], about("Dead antennas and the reason of each", example={"17": "no signal"})]
    by_antenna: Annotated[
        Mapping[str, _Fractions],
        about("By antenna, as converted and after flagging", "fraction", {"103": [0.02, 0.07]}),
    ]
    freqs_hz: Annotated[tuple[float, ...], about("Frequencies of the channels", "Hz", [1311250000.0, 1311494140.6])]
    by_channel: Annotated[
        tuple[_Fractions, ...],
        about("By channel, as converted and after flagging", "fraction", [[0.02, 0.07], [0.0, 1.0]]),
    ]


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


def flag_file(group: str, suffix: str) -> Path:
    """Return the path of a tile's flag summary, whether it exists or not.

    Parameters
    ----------
    group : id of the group.
    suffix : `.json` or `.png`.

    Raises
    ------
    RequestError, 404, when the store has no such group.
    """
    return current_panel().config().output_dir / "calibration" / FLAGS / f"{find_group(group).id}{suffix}"


def read_flag_summary(group: str) -> FlagSummary:
    """Return the flagged fractions of a tile.

    Parameters
    ----------
    group : id of the group.

    Raises
    ------
    RequestError, 404, when the store has no such group, or the group was not calibrated yet.
    """
    path = product_file(flag_file(group, ".json"), current_panel().config().output_dir, "flag summary")
    try:
        return FlagSummary(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path.name}: no flag summary ({error}); calibrate the tile again") from None


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
