"""Sources, light curves, candidates and stamps, for the API and the pages."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from contimg.common.errors import BadInput
from contimg.formats.records import Page, about, page_key
from contimg.store.jobs.kinds import LIVE
from contimg.store.sky.records import (
    CandidateRecord,
    CandidateState,
    LightCurve,
    Measurement,
    SourceList,
    SourceRecord,
    SourceVariability,
)
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import MAX_ID
from web.http.responses import product_file
from web.sources.parameters import SourceListing

NEIGHBOUR_DEG, MAX_NEIGHBOURS = 0.5, 8
STAMP_DEG, STAMP_PIXELS = 0.1, 96
MAX_STAMPS = 60
_LEAST_RANGE = 10.0  # of a stamp's colours, times the noise
_LIMITS = {"eta": "eta", "v": "modulation_index", "flux": "weighted_mean_jy"}


@dataclass(frozen=True, kw_only=True)
class NeighbourCurve:
    """A source near another, and its light curve."""

    source: Annotated[SourceRecord, about("The neighbour, its statistics and its distance")]
    measurements: Annotated[tuple[Measurement, ...], about("Its measurements in order of time")]


@dataclass(frozen=True, kw_only=True)
class SourceCurve(LightCurve):
    """The light curve of a source, and those of its neighbours."""

    neighbours: Annotated[tuple[NeighbourCurve, ...], about("Light curves of the neighbours, the nearest first")]


@dataclass(frozen=True, kw_only=True)
class CandidateList(Page):
    """Candidates, the latest first."""

    candidates: Annotated[tuple[CandidateRecord, ...], about("Candidates, the latest first")]


def list_sources(query: SourceListing) -> SourceList:
    """Return a page of sources: the highest η first, in a cone the nearest first.

    Parameters
    ----------
    query : conditions and page.
    """
    if query.ra is None or query.dec is None or query.radius is None:
        return current_panel().store.sky.sources(
            query.limit, query.processing, name=query.name, min_eta=query.eta_min, max_eta=query.eta_max,
            min_modulation_index=query.v_min, max_modulation_index=query.v_max, min_flux_jy=query.flux_min,
            max_flux_jy=query.flux_max, min_n=query.n_min, before=query.cursor,
        )  # fmt: skip
    inside = current_panel().store.sky.cone(query.ra, query.dec, query.radius, query.processing)
    matching = [source for source in inside if _matches(source, query)]
    keys = [(source.separation_deg or 0.0, source.id) for source in matching]
    begin = next((n for n, key in enumerate(keys) if query.cursor is None or key > query.cursor), len(keys))
    end = begin + query.limit
    key = page_key(*keys[end - 1]) if end < len(keys) else None
    return SourceList(sources=tuple(matching[begin:end]), total=len(matching), next=key)


def _matches(source: SourceRecord, query: SourceListing) -> bool:
    """Whether a source of a cone meets the other conditions."""
    names = (source.name, *source.identifiers.values())
    if query.name and not any(query.name.lower() in name.lower() for name in names):
        return False
    numbers = source.variability
    if query.n_min and (numbers is None or numbers.n < query.n_min):
        return False
    return all(
        _is_within(numbers, attribute, getattr(query, f"{name}_min"), getattr(query, f"{name}_max"))
        for name, attribute in _LIMITS.items()
    )


def _is_within(numbers: SourceVariability | None, name: str, low: float | None, high: float | None) -> bool:
    if low is None and high is None:
        return True
    value: float | None = None if numbers is None else getattr(numbers, name)
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def find_source(source_id: int, processing: str = LIVE) -> SourceRecord:
    """Return a source; RequestError, 404, when there is none.

    Parameters
    ----------
    source_id : number of the source in the store.
    processing : of its statistics.
    """
    try:
        return current_panel().store.sky.source(min(source_id, MAX_ID), processing)
    except BadInput as error:
        raise RequestError(404, str(error), "GET /api/sources lists the sources", code="no_such_source") from None


def read_curve(source_id: int, neighbours: int, processing: str = LIVE) -> SourceCurve:
    """Return a light curve and those of the nearest measured neighbours.

    Parameters
    ----------
    source_id : number of the source in the store.
    neighbours : maximum number of neighbours, within `NEIGHBOUR_DEG`.
    processing : of the measurements.

    Raises
    ------
    RequestError : 404, when there is no such source.
    """
    source, sky = find_source(source_id, processing), current_panel().store.sky
    near = sky.cone(source.ra_deg, source.dec_deg, NEIGHBOUR_DEG, processing) if neighbours else ()
    measured = [row for row in near if row.id != source_id and row.variability is not None][:neighbours]
    curves = [sky.light_curve(row.id, processing) for row in measured]
    return SourceCurve(
        source=source, measurements=sky.light_curve(source_id, processing).measurements,
        neighbours=tuple(
            NeighbourCurve(source=row, measurements=curve.measurements)
            for row, curve in zip(measured, curves, strict=True)
        ),
    )  # fmt: skip


def list_candidates(
    limit: int, state: CandidateState | None = None, after: tuple[float, int] | None = None
) -> CandidateList:
    """Return a page of candidates, the latest first.

    Parameters
    ----------
    limit : maximum number of candidates.
    state : only those in this state; None for all.
    after : time (MJD) and number of the last candidate of the page before.
    """
    candidates = current_panel().store.sky.candidates(state=state)
    keys = [(candidate.mjd, candidate.id) for candidate in candidates]
    begin = next((n for n, key in enumerate(keys) if after is None or key < after), len(keys))
    end = begin + limit
    key = page_key(*keys[end - 1]) if end < len(keys) else None
    return CandidateList(candidates=candidates[begin:end], total=len(candidates), next=key)


def count_candidates() -> Counter[CandidateState]:
    """Return the number of candidates in each state."""
    return Counter(candidate.state for candidate in current_panel().store.sky.candidates())


def find_candidate(candidate_id: int) -> CandidateRecord:
    """Return a candidate; RequestError, 404, when there is none.

    Parameters
    ----------
    candidate_id : number of the candidate.
    """
    candidate = current_panel().store.sky.candidate(min(candidate_id, MAX_ID))
    if candidate is None:
        text = f"candidate {candidate_id}: not in the store"
        raise RequestError(404, text, "GET /api/candidates lists the candidates", code="no_such_candidate")
    return candidate


def set_candidate_state(candidate_id: int, state: CandidateState, note: str, name: str) -> CandidateRecord:
    """Give a candidate a state, with a note, and return it.

    Parameters
    ----------
    candidate_id : number of the candidate.
    state, note : the new state, and why; the note may be empty.
    name : who decided; empty: the user.

    Raises
    ------
    RequestError : 404, when there is no such candidate.
    """
    find_candidate(candidate_id)
    panel = current_panel()
    candidate = panel.store.sky.set_candidate_state(
        candidate_id, state, note, name or current_user().name or current_user().label
    )
    panel.forget_overview()
    return candidate


def has_stamp(measurement: Measurement) -> bool:
    """Return whether the mosaic of a measurement is on disk.

    Parameters
    ----------
    measurement : of a light curve.
    """
    if measurement.mosaic_id is None or measurement.measured_jy is None:
        return False
    mosaic = current_panel().store.mosaics.mosaic(measurement.mosaic_id)
    return mosaic is not None and mosaic.fits_path.is_file()


def draw_stamp(source_id: int, mosaic_id: int) -> bytes:
    """Return the square around a source in a mosaic as a PNG; colours and grid are the same for all its stamps.

    Parameters
    ----------
    source_id, mosaic_id : numbers in the store.

    Raises
    ------
    RequestError : 404, when there is no such source or mosaic, its file is not on disk, or the source is outside it.
    """
    from contimg.tile.image.cutout import draw_png, resample_stamp  # astropy, which only this needs

    source, panel = find_source(source_id), current_panel()
    path = product_file(_mosaic_path(mosaic_id), panel.config().output_dir, "mosaic")
    measurements = panel.store.sky.light_curve(source_id).measurements
    noise_jy = [row.local_rms_jy for row in measurements if row.local_rms_jy]
    rms_jy = median(noise_jy) if noise_jy else 1e-3
    peak_jy = max((row.measured_jy for row in measurements if row.measured_jy is not None), default=0.0)
    try:
        stamp = resample_stamp(path, source.ra_deg, source.dec_deg, STAMP_DEG, STAMP_PIXELS)
    except BadInput as error:
        raise RequestError(404, str(error), "the stamps of other epochs may hold it", code="outside_image") from None
    return draw_png(stamp, rms_jy, max(peak_jy, _LEAST_RANGE * rms_jy), STAMP_PIXELS)


def _mosaic_path(mosaic_id: int) -> Path:
    mosaic = current_panel().store.mosaics.mosaic(mosaic_id) if mosaic_id <= MAX_ID else None
    if mosaic is None:
        text = f"mosaic {mosaic_id}: not in the store"
        raise RequestError(404, text, "GET /api/mosaics lists the mosaics", code="no_such_mosaic")
    return mosaic.fits_path
