"""Sources outside the image that its cleaning subtracted: their components are in the field, but not in the image."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from contimg.tile.image.gridding.gridder import Gridder, Image
from contimg.tile.image.sources.finding import position_name
from contimg.tile.image.sources.matches import SubtractedSource

LINK_BEAMS = 0.5  # distance below which two components belong to one source, major axes of the beam
MIN_POSITIVE = 0.3
MAX_LISTED = 20  # that an image's record lists; the table has all


def list_subtracted(model: Image, gridder: Gridder, header: fits.Header, size: int) -> tuple[SubtractedSource, ...]:
    """List the sources of a model that are outside the image, the brightest first.

    Components closer than `LINK_BEAMS` are one source. Components whose signs alternate, so that their
    sum is below `MIN_POSITIVE` of their absolute values, are a correction of neighbours and left out.

    Parameters
    ----------
    model : Jy per pixel, shape (field size, field size).
    gridder : of the field.
    header : celestial coordinates and synthesized beam of the image, whose centre and pixels are those of the field.
    size : of the image, pixels.
    """
    rows, columns = np.nonzero(model)
    centre, pixel_rad = model.shape[0] // 2, gridder.pixel_rad
    l, m = gridder.slant.to_cosines((centre - columns) * pixel_rad, (rows - centre) * pixel_rad)  # noqa: E741
    x, y = size // 2 - l / pixel_rad, size // 2 + m / pixel_rad
    is_outside = (np.minimum(x, y) < -0.5) | (np.maximum(x, y) >= size - 0.5)
    if not is_outside.any():
        return ()
    positions = np.stack([x, y, l, m], axis=1)[is_outside]
    fluxes_jy = model[rows, columns][is_outside].astype(np.float64)
    reach = LINK_BEAMS * header["BMAJ"] / abs(header["CDELT2"])
    counts, members = _link(positions[:, :2], reach)
    totals_jy = np.bincount(members, fluxes_jy)
    is_source = totals_jy > MIN_POSITIVE * np.bincount(members, np.abs(fluxes_jy))
    means = np.stack([np.bincount(members, fluxes_jy * column) for column in positions.T], axis=1)
    means = means / np.where(is_source, totals_jy, 1.0)[:, None]
    ra, dec = WCS(header).celestial.all_pix2world(*means[:, :2].T, 0)  # with the shift of the image's coordinates
    distances_deg = np.rad2deg(np.arcsin(np.hypot(means[:, 2], means[:, 3])))
    return tuple(
        SubtractedSource(
            position_name(ra[i], dec[i]), float(ra[i]) % 360, float(dec[i]), float(totals_jy[i]),
            float(distances_deg[i]), int(counts[i]),
        )
        for i in np.argsort(-totals_jy) if is_source[i]
    )  # fmt: skip


def _link(positions: NDArray[np.float64], reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of components of each source, and the number of the source of each component."""
    pairs = cKDTree(positions).query_pairs(reach, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(positions), len(positions)))
    _, members = connected_components(links, directed=False)
    return np.bincount(members), members


def brightest_subtracted(sources: Sequence[SubtractedSource]) -> tuple[dict[str, Any], ...]:
    """Return the first `MAX_LISTED` sources as plain values, with the keys that the API answers.

    Parameters
    ----------
    sources : the brightest first.
    """
    return tuple(asdict(source) for source in sources[:MAX_LISTED])


def write_subtracted(path: Path, sources: Sequence[SubtractedSource]) -> None:
    """Write the sources as CSV, with a header also when there are no sources.

    Parameters
    ----------
    path : the file; one that exists is overwritten.
    sources : in the order of the rows; may be empty.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(SubtractedSource)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(source) for source in sources)
