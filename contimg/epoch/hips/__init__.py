"""The sky of good mosaics as a HiPS, a pyramid of HEALPix tiles that sky viewers read; a mosaic adds its tiles.

    from contimg.epoch.hips import add_mosaic
    add_mosaic(Path("products/hips"), Path("products/mosaics/2026-02-22_L0130_D+163.fits"))

The format: HiPS 1.0 (Fernique et al. 2017, IVOA Recommendation). Importing this package is light; the numerical
libraries are imported with the first mosaic.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Annotated

from contimg.formats.records import about

__all__ = ["DIRECTORY", "SurveyUpdate", "add_mosaic", "has_survey", "read_properties", "remove_mosaic", "update_survey"]
DIRECTORY = "hips"  # below the directory of the products
SKY_DEG2 = 4 * 180**2 / pi
Properties = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class SurveyUpdate:
    """What an update of the HiPS changed."""

    directory: Annotated[Path, about("The HiPS", example="/data/products/hips")]
    added: Annotated[tuple[str, ...], about("Mosaics that are new or were made again")] = ()
    removed: Annotated[tuple[str, ...], about("Mosaics that are no longer graded good")] = ()
    unusable: Annotated[Mapping[str, str], about("Mosaics that could not be added, with the reason")]
    mosaics: Annotated[int, about("Mosaics in the HiPS", "mosaics", 48)]
    order: Annotated[int | None, about("HEALPix order of its deepest tiles; null while it is empty", example=6)]
    area_deg2: Annotated[float, about("Area of its coverage", "deg²", 812.4)]


def has_survey(directory: Path) -> bool:
    """Return whether a directory holds a HiPS that can be shown.

    Parameters
    ----------
    directory : of the HiPS.
    """
    return (directory / "properties").is_file()


def read_properties(directory: Path) -> Properties:
    """Read the `properties` of a HiPS; empty where there are none.

    Parameters
    ----------
    directory : of the HiPS.
    """
    path = directory / "properties"
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in lines if not key.startswith("#")}


def add_mosaic(directory: Path, mosaic: Path) -> bool:
    """Add a mosaic to a HiPS; one that is in it already, of the same name, is replaced.

    Where mosaics overlap, each pixel is their mean with the mosaics' weights. Tiles, and the files derived from them,
    are replaced one by one, each under a temporary name that is renamed; after a kill at any instruction the next call
    completes the rest. The first mosaic sets the order of the HiPS and the colours of its pictures.

    Parameters
    ----------
    directory : of the HiPS; it is created.
    mosaic : `NAME.fits`, fluxes in Jy per beam, with its weights (1/Jy²) in `NAME.weight.fits` beside it.

    Returns
    -------
    Whether anything was changed: False when this mosaic is in the HiPS as it is.

    Raises
    ------
    BadInput : the mosaic or its weights cannot be read.
    Transient : the disk is full or cannot be written, or another process changes the HiPS.
    """
    from contimg.epoch.hips.survey import Survey

    with Survey(directory) as survey:
        return survey.add(mosaic)


def remove_mosaic(directory: Path, name: str) -> bool:
    """Remove a mosaic from a HiPS.

    Parameters
    ----------
    directory : of the HiPS.
    name : of the mosaic's file, without `.fits`.

    Returns
    -------
    Whether it was in the HiPS.

    Raises
    ------
    Transient : the disk is full or cannot be written, or another process changes the HiPS.
    """
    from contimg.epoch.hips.survey import Survey

    with Survey(directory) as survey:
        return survey.remove(name)


def update_survey(
    directory: Path, mosaics: Mapping[str, Path], rejected: Collection[str] = (), *, rebuild: bool = False
) -> SurveyUpdate:
    """Add good mosaics to a HiPS, and remove those that are graded otherwise now.

    Parameters
    ----------
    directory : of the HiPS.
    mosaics : path of each good mosaic, by its name. Those in the HiPS as they are cost a look at their time of change.
    rejected : names of mosaics that must not be in it. One in neither list, such as one deleted for its age, stays.
    rebuild : build the HiPS from these mosaics alone, with a new order, and let it replace the old one at the end.

    Returns
    -------
    SurveyUpdate
        The changes, and what could not be used.

    Raises
    ------
    Transient : the disk is full or cannot be written, or another process changes the HiPS.
    """
    from contimg.epoch.hips.survey import update

    return update(directory, mosaics, rejected, rebuild=rebuild)
