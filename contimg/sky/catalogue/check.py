"""Check of a catalogue file: its pages, number of sources, digest, order, and fluxes against the source counts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from contimg.formats.records import NO_UNIT, about
from contimg.sky.catalogue.catalogue import Catalogue, connected
from contimg.sky.catalogue.counts import MAX_RATIO, check_counts, format_ratio
from contimg.sky.catalogue.pixels import NSIDE, pixels_of


@dataclass(frozen=True)
class CatalogueCheck:
    """Result of a check.

    Attributes
    ----------
    name, path : of the catalogue.
    faults : what is wrong, worst first; empty where nothing is.
    count_ratio : fluxes over those of the source counts, median; None with too few sources.
    """

    name: Annotated[str, about("Name of the catalogue", example="nvss")]
    path: Annotated[Path, about("Path of the file", example="/data/state/catalogues/nvss.catalogue")]
    faults: Annotated[tuple[str, ...], about("What is wrong, worst first", example=[])]
    count_ratio: Annotated[float | None, about("Fluxes over those of the source counts, median", NO_UNIT, 1.02)]


def check_catalogue(catalogue: Catalogue) -> CatalogueCheck:
    """Check a catalogue.

    Parameters
    ----------
    catalogue : the opened one; the whole file is read.
    """
    faults = []
    with connected(catalogue.path) as connection:
        ((state, *_), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if state != "ok":
        faults.append(f"the file is damaged ({state}); build it again")
    fluxes, pixel_counts, last_pixel, is_ordered = [], np.zeros(12 * NSIDE**2, dtype=np.int64), 0, True
    for batch in catalogue.batches():
        pixels = pixels_of(batch.ra_deg, batch.dec_deg)
        fluxes.append(batch.flux_jy)
        pixel_counts += np.bincount(pixels, minlength=len(pixel_counts))
        is_ordered &= not np.any(np.diff(pixels, prepend=last_pixel) < 0)
        last_pixel = pixels[-1]
    flux_jy = np.concatenate(fluxes)
    if len(flux_jy) != catalogue.n_sources:
        faults.append(f"holds {len(flux_jy)} sources and should hold {catalogue.n_sources}; build it again")
    if not is_ordered:
        faults.append("its sources are not in the order of the index; build it again")
    counts = check_counts(flux_jy, pixel_counts, catalogue.frequency_hz, catalogue.spectral_index)
    if catalogue.is_complete and counts.ratio is not None and not counts.is_plausible:
        faults.append(
            f"fluxes are {format_ratio(counts.ratio)} times those of the source counts (limits {1 / MAX_RATIO:g} to "
            f"{MAX_RATIO:g}); build it again with the right unit"
        )
    return CatalogueCheck(catalogue.name, catalogue.path, tuple(faults), counts.ratio)
