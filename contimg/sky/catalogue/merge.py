"""Merging catalogues into one reference list, with cross-identifications.

Region by region of the sphere, each wide enough beyond its pixel that a source comes out the same in every region that
holds it; so neither right ascension 0 nor the poles are special, and the memory does not grow with the catalogues.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.instrument.coordinates import separation_rad, unit_vectors
from contimg.sky.catalogue.catalogue import MERGED, Catalogue, Provenance
from contimg.sky.catalogue.pixels import pixel_centres, pixel_radius_deg, pixels_of, region_nside
from contimg.sky.catalogue.sources import CatalogueSources
from contimg.sky.catalogue.writing import write_catalogue

_INDEX_BASELINE = 1.25  # ratio of two frequencies from which on a spectral index is measured
_INDEX_LIMITS = -2.5, 1.5  # beyond them the fluxes are not of the same source
_MATCH_BEAMS = 0.5  # of the larger beam: default radius of a match
_COMPONENT_FRACTION = 0.1  # of the flux: a second component beyond it makes a source confused


@dataclass
class _Region:
    """Merged sources of a region, and their identifications by index."""

    sources: CatalogueSources
    identifications: list[tuple[int, str, str, float, float, float, float]] = field(default_factory=list)


def merge_catalogues(path: Path, name: str, catalogues: Sequence[Catalogue], radius_deg: float = 0.0) -> Catalogue:
    """Merge catalogues into one.

    A source of a later catalogue is the nearest source of the earlier ones within the radius, else it is added with its
    flux at the frequency of the first catalogue. A position comes from the catalogue with the smallest error, a
    spectral index from two fluxes whose frequencies differ by a factor of 1.25 or more.

    Parameters
    ----------
    path : of the merged catalogue.
    name : of it.
    catalogues : two or more, the one whose fluxes are kept first.
    radius_deg : greatest separation of a match; 0: half of the larger of both beams.

    Raises
    ------
    BadInput : fewer than two catalogues, or two of the same name.
    """
    names = [catalogue.name for catalogue in catalogues]
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadInput(f"merge {', '.join(names)}: two or more catalogues of different names are needed")
    first = catalogues[0]
    limits = [
        catalogue.flux_limit_jy * (first.frequency_hz / catalogue.frequency_hz) ** catalogue.spectral_index
        for catalogue in catalogues
    ]
    provenance = Provenance(
        name=name, kind=MERGED, frequency_hz=first.frequency_hz, flux_limit_jy=max(limits),
        beam_deg=max(catalogue.beam_deg for catalogue in catalogues), spectral_index=first.spectral_index,
        source_table=", ".join(names), inputs=tuple(catalogue.label for catalogue in catalogues),
    )  # fmt: skip
    with TemporaryFile("w+", encoding="utf-8") as spool:
        return write_catalogue(
            path, _merged_batches(catalogues, radius_deg, spool), provenance, identifications=_spooled(spool),
            confusion_beam_deg=max(catalogue.confusion_beam_deg for catalogue in catalogues),
        )  # fmt: skip


def _spooled(spool: IO[str]) -> Iterator[list[str | float | None]]:
    spool.seek(0)
    for line in spool:
        yield json.loads(line)


def _merged_batches(catalogues: Sequence[Catalogue], radius_deg: float, spool: IO[str]) -> Iterator[CatalogueSources]:
    widest_deg = radius_deg or _MATCH_BEAMS * max(catalogue.beam_deg for catalogue in catalogues)
    nside = region_nside(sum(catalogue.n_sources for catalogue in catalogues))
    reach_deg = pixel_radius_deg(nside) + 3 * len(catalogues) * widest_deg
    for pixel, (ra_deg, dec_deg) in enumerate(zip(*pixel_centres(nside), strict=True)):
        region: _Region | None = None
        for catalogue in catalogues:
            cone = catalogue.cone(float(ra_deg), float(dec_deg), reach_deg)
            if region is None:
                region, beam_deg = _start(catalogue, cone), catalogue.beam_deg
            else:
                _add(region, catalogue, cone, radius_deg or _MATCH_BEAMS * max(beam_deg, catalogue.beam_deg))
                beam_deg = max(beam_deg, catalogue.beam_deg)
        if region is None or not len(region.sources):
            continue
        is_inside = pixels_of(region.sources.ra_deg, region.sources.dec_deg, nside) == pixel
        for index, *values in region.identifications:
            if is_inside[index]:
                row = [str(region.sources.source_id[index]), *values]
                spool.write(json.dumps([None if value != value else value for value in row]) + "\n")
        yield region.sources[is_inside]


def _start(catalogue: Catalogue, sources: CatalogueSources) -> _Region:
    region = _Region(_renamed(catalogue, sources))
    _identify(region, catalogue, sources, np.arange(len(sources)), np.zeros(len(sources)))
    return region


def _renamed(catalogue: Catalogue, sources: CatalogueSources) -> CatalogueSources:
    columns = dict(sources.columns())
    columns["source_id"] = np.array([f"{catalogue.name} {source_id}" for source_id in sources.source_id], dtype=np.str_)
    columns["is_confused"] = np.zeros(len(sources), dtype=bool)  # marked again among all merged sources
    return CatalogueSources(sources.frequency_hz, **columns)


def _identify(
    region: _Region, catalogue: Catalogue, sources: CatalogueSources, indices: NDArray[np.intp],
    separations_deg: NDArray[np.float64],
) -> None:  # fmt: skip
    """Record what the merged sources `indices` are in a catalogue."""
    columns = (indices, sources.source_id, separations_deg, sources.flux_jy, sources.flux_error_jy)
    for index, source_id, separation_deg, flux_jy, error_jy in zip(*(c.tolist() for c in columns), strict=True):
        region.identifications.append(
            (index, catalogue.name, source_id, separation_deg, catalogue.frequency_hz, flux_jy, error_jy)
        )


def _add(region: _Region, catalogue: Catalogue, sources: CatalogueSources, radius_deg: float) -> None:
    """Match the sources of a further catalogue with those of the region, and add those without a match."""
    from scipy.spatial import cKDTree

    earlier = region.sources
    if not len(sources):
        return
    nearest, is_matched = np.zeros(len(sources), dtype=np.intp), np.zeros(len(sources), dtype=bool)
    separations_deg = np.zeros(len(sources))
    if len(earlier):
        tree = cKDTree(unit_vectors(np.deg2rad(earlier.ra_deg), np.deg2rad(earlier.dec_deg)))
        _, nearest = tree.query(unit_vectors(np.deg2rad(sources.ra_deg), np.deg2rad(sources.dec_deg)))
        pairs = (np.deg2rad(np.stack([c.ra_deg, c.dec_deg], axis=-1)) for c in (earlier[nearest], sources))
        separations_deg = np.rad2deg(separation_rad(*pairs))
        is_matched = separations_deg <= radius_deg
    columns = {name: np.array(column) for name, column in earlier.columns()}
    _refine(columns, earlier, sources[is_matched], nearest[is_matched])
    added = _renamed(catalogue, sources[~is_matched])
    scaled = dict(added.columns())
    factor = added.flux_at(earlier.frequency_hz) / added.flux_jy
    scaled["flux_jy"], scaled["flux_error_jy"] = added.flux_jy * factor, added.flux_error_jy * factor
    region.sources = CatalogueSources(
        earlier.frequency_hz, **{name: np.concatenate([columns[name], scaled[name]]) for name in columns}
    )
    indices = np.array(nearest)
    indices[~is_matched] = len(earlier) + np.arange(np.count_nonzero(~is_matched))
    _identify(region, catalogue, sources, indices, np.where(is_matched, separations_deg, 0.0))


def _refine(
    columns: dict[str, NDArray[np.generic]], earlier: CatalogueSources, matched: CatalogueSources,
    nearest: NDArray[np.intp],
) -> None:  # fmt: skip
    """Improve merged sources, in place, by their matches: position, spectral index, marks."""
    total_jy, components = np.zeros(len(earlier)), np.zeros(len(earlier), dtype=int)
    np.add.at(total_jy, nearest, matched.flux_jy)
    is_component = matched.flux_jy >= _COMPONENT_FRACTION * total_jy[nearest]
    np.add.at(components, nearest[is_component], 1)
    columns["is_confused"] = earlier.is_confused | (components > 1)
    is_single = is_component & (components[nearest] == 1)
    single, index = matched[is_single], nearest[is_single]
    is_better = single.position_error_deg < np.nan_to_num(earlier.position_error_deg[index], nan=np.inf)
    for name in ("ra_deg", "dec_deg", "position_error_deg"):
        columns[name][index[is_better]] = getattr(single, name)[is_better]
    resolved = np.zeros(len(earlier), dtype=bool)
    resolved[nearest[matched.is_resolved]] = True
    columns["is_resolved"] = earlier.is_resolved | resolved
    ratio = matched.frequency_hz / earlier.frequency_hz
    if max(ratio, 1 / ratio) < _INDEX_BASELINE:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = np.log(total_jy / earlier.flux_jy) / np.log(ratio)
    is_measured = (measured >= _INDEX_LIMITS[0]) & (measured <= _INDEX_LIMITS[1]) & earlier.is_index_assumed
    columns["spectral_index"] = np.where(is_measured, measured, earlier.spectral_index)
    columns["is_index_assumed"] = earlier.is_index_assumed & ~is_measured
