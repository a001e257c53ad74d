"""The HiPS and the coverage (MOC) of a published survey, made from its mosaics alone."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contimg.common.errors import BadFile
from contimg.common.files.staging import disk_errors
from contimg.common.units import format_utc
from contimg.epoch.hips import has_survey, read_properties

HIPS, MOC_FITS, MOC_TEXT = "hips", "coverage.moc.fits", "coverage.moc.txt"
_STATUS = "public master clonableOnce"


def build_sky(directory: Path, created_at: float, previous: Path | None = None, same: Sequence[str] = ()) -> None:
    """Build the HiPS of the mosaics of a publication, in the order of their names, and its MOC.

    The order sets the bits of overlapping tiles. Where the mosaics of an earlier publication are the first ones of this
    one, its HiPS is linked and the new mosaics are added: the result is the same.

    Parameters
    ----------
    directory : of the publication; its mosaics are in `mosaics`.
    created_at : time that is recorded in the HiPS, epoch seconds.
    previous : the earlier publication; None without one.
    same : names of the mosaics of `previous` that are the same in this publication.

    Raises
    ------
    BadFile : a mosaic has no weights, or cannot be read.
    """
    from contimg.epoch.hips.survey import Survey  # heavy

    names = mosaic_names(directory)
    hips, done = directory / HIPS, 0
    if previous is not None and list(same) == names[: len(same)] and list(same) == mosaic_names(previous):
        done = len(same) if _link_tree(previous / HIPS, hips) else 0
    if not names:
        return
    with Survey(hips) as survey:
        for name in names[done:]:
            survey.add(directory / "mosaics" / f"{name}.fits")
    shutil.rmtree(hips / "members")  # paths and times of this machine
    _write_properties(hips, created_at)
    _write_moc(directory)


def mosaic_names(directory: Path) -> list[str]:
    """Return the names of the mosaics of a publication, in order.

    Parameters
    ----------
    directory : of the publication.
    """
    with suppress(FileNotFoundError):
        files = [path.name for path in (directory / "mosaics").iterdir()]
        maps = (".weight.fits", ".rms.fits")
        return sorted(name.removesuffix(".fits") for name in files if not name.endswith(maps))
    return []


def _link_tree(source: Path, target: Path) -> bool:
    """Link a HiPS, whose files are replaced and never changed; False where there is none."""
    if not has_survey(source):
        return False
    shutil.copytree(source, target, copy_function=link_file)
    return True


def link_file(source: str | Path, target: str | Path) -> str:
    """Link a file, or copy it with its time of change where the file system cannot.

    Parameters
    ----------
    source, target : the paths.
    """
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise BadFile(source, "not on disk; make it again") from None
    except OSError:
        shutil.copy2(source, target)
    return str(target)


def _write_properties(hips: Path, created_at: float) -> None:
    properties = read_properties(hips)
    properties |= {
        "hips_status": _STATUS, "hips_release_date": format_utc(created_at, "%Y-%m-%dT%H:%MZ"),
        "obs_title": "DSA-110 continuum mosaics", "moc_access_url": "Moc.fits",
    }  # fmt: skip
    path = hips / "properties"
    with disk_errors(path):
        path.unlink()  # it may be a link to that of an earlier publication
        path.write_text("".join(f"{key:<20} = {value}\n" for key, value in properties.items()), encoding="utf-8")


def _write_moc(directory: Path) -> None:
    from mocpy import MOC  # a second

    shutil.copyfile(directory / HIPS / "Moc.fits", directory / MOC_FITS)
    text = MOC.from_fits(directory / MOC_FITS).to_string("ascii")
    (directory / MOC_TEXT).write_text(f"{text}\n", encoding="ascii")
