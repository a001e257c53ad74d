"""Hard links to the mosaics that the tiles of a HiPS have, so that one that was replaced can be taken out of them.

A mosaic is replaced by renaming: its link keeps the pixels that the tiles have until the new ones are in them, and
costs no space before. The link of a mosaic that was deleted is deleted too; its pixels stay in the tiles.
"""

import logging
import os
from pathlib import Path

from contimg.common.errors import BadFile
from contimg.common.files.staging import remove, staged
from contimg.epoch.hips.mosaic_image import MosaicImage, open_mosaic, weight_path

log = logging.getLogger(__name__)


def link_mosaic(members: Path, mosaic: Path) -> None:
    """Link the files of a mosaic; where the file system has no links, none is made.

    Parameters
    ----------
    members : directory of the links.
    mosaic : `NAME.fits`, with its weights beside it.
    """
    for path in (mosaic, weight_path(mosaic)):
        link = members / path.name
        try:
            if link.exists() and link.samefile(path):
                continue
            with staged(link) as temporary:
                os.link(path, temporary)
        except OSError as error:
            log.warning("%s: not linked (%s); a new version is added by summing the tiles' mosaics again", path, error)
            unlink_mosaic(members, mosaic.name.removesuffix(".fits"))
            return


def unlink_mosaic(members: Path, name: str) -> None:
    """Delete the links of a mosaic.

    Parameters
    ----------
    members : directory of the links.
    name : of its file, without `.fits`.
    """
    link = members / f"{name}.fits"
    remove(link)
    remove(weight_path(link))


def open_linked(members: Path, name: str) -> MosaicImage | None:
    """Open the link of a mosaic; None without one.

    Parameters
    ----------
    members : directory of the links.
    name : of its file, without `.fits`.
    """
    try:
        return open_mosaic(members / f"{name}.fits")
    except BadFile:
        return None
