"""`/api/sources` and `/api/candidates`: sources with their statistics, light curves, and what observers decide."""

from flask import Response, request

from contimg.store.sky.records import CandidateRecord, SourceList, SourceRecord
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.sources.parameters import (
    CandidateListing,
    CandidatePath,
    ConeQuery,
    CurveQuery,
    SourceListing,
    SourcePath,
    StateRequest,
)
from web.sources.service import (
    CandidateList,
    SourceCurve,
    find_candidate,
    find_source,
    list_candidates,
    list_sources,
    read_curve,
    set_candidate_state,
)
from web.sources.votable import MAX_RECORDS, MIMETYPE, write_votable

sources = Api("sources_api", "/api/sources")
candidates = Api("candidates_api", "/api/candidates")


@sources.read("", SourceList)
def read_sources(query: SourceListing) -> SourceList:
    """Sources with their statistics, the highest η first; in a cone the nearest first.

    Conditions that are left out select every source. A source without a counted measurement has no statistics.
    """
    return list_sources(query)


@sources.read("/<int:source_id>", SourceRecord, NOT_FOUND)
def read_source(path: SourcePath) -> SourceRecord:
    """One source: position, ids in catalogues, statistics of its light curve.

    The statistics are of the live processing; /api/sources/<source_id>/lightcurve takes others.
    """
    return find_source(path.source_id)


@sources.read("/<int:source_id>/lightcurve", SourceCurve, NOT_FOUND)
def read_light_curve(path: SourcePath, query: CurveQuery) -> SourceCurve:
    """The light curve of a source: every measurement, with limits, flags and whether it is counted.

    Fluxes are those after the normalisation of the epoch. `neighbours` adds the light curves of the nearest sources
    within 0.5 degrees: what they have in common is of the epochs.
    """
    return read_curve(path.source_id, query.neighbours, query.processing)


@sources.read("/cone", MIMETYPE)
def search_cone(query: ConeQuery) -> Response:
    """Sources in a cone as a VOTable: an IVOA Simple Cone Search.

    For earlier clients; /vo/cone is the service as the standard has it. At most 10,000 sources, the nearest ones.
    """
    nearest = current_panel().store.sky.cone(query.ra, query.dec, query.radius, limit=MAX_RECORDS + 1)
    table = write_votable(
        nearest[:MAX_RECORDS], is_cut=len(nearest) > MAX_RECORDS, root=request.url_root.rstrip("/"),
        verbosity=query.verbosity,
    )  # fmt: skip
    return Response(table, mimetype=MIMETYPE)


@candidates.read("", CandidateList)
def read_candidates(query: CandidateListing) -> CandidateList:
    """Candidates of variable and new sources with their notes, the latest first.

    A candidate is selected by the rule of docs/light-curves.md, or is a source where earlier epochs had none.
    """
    return list_candidates(query.limit, query.state, query.cursor)


@candidates.read("/<int:candidate_id>", CandidateRecord, NOT_FOUND)
def read_candidate(path: CandidatePath) -> CandidateRecord:
    """One candidate: why it was selected, its state, and the notes.

    `statistics` are the numbers that selected it.
    """
    return find_candidate(path.candidate_id)


@candidates.command("/<int:candidate_id>", CandidateRecord, NOT_FOUND, StateRequest)
def set_state(path: CandidatePath, body: StateRequest) -> CandidateRecord:
    """Set the state of a candidate, with a note and the name of who decided.

    The present state only adds the note. A change is an event, which is notified.
    """
    return set_candidate_state(path.candidate_id, body.state, body.note, body.name)
