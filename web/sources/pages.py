"""The pages of sources: planes of variability with a table, one source with its light curve and stamps, candidates."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import numpy as np
from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from pydantic import Field
from werkzeug.wrappers import Response as AnyResponse

from contimg.common.units import parse_position
from contimg.sky.variability.options import CandidateRule
from contimg.store.sky.records import CandidateState, EtaVPlane
from web.activity.pages import BOKEH_SCRIPTS
from web.context import current_panel
from web.http.parameters import MAX_ID, FiniteFloat, ImageKey, Listing, Parameters
from web.http.responses import allow_styles
from web.pages.layout import parse_query
from web.sources.parameters import MAX_RADIUS_DEG, CandidateListing, SourceListing, StateRequest
from web.sources.service import (
    MAX_STAMPS,
    NEIGHBOUR_DEG,
    STAMP_DEG,
    count_candidates,
    draw_stamp,
    has_stamp,
    list_candidates,
    list_sources,
    read_curve,
    set_candidate_state,
)
from web.sources.still import draw_still

sources = Blueprint("sources", __name__, url_prefix="/sources")
SHOWN_NEIGHBOURS = 4
_PLANE_COLUMNS = {"source_id": "<i4", "eta": "<f4", "modulation_index": "<f4", "weighted_mean_jy": "<f4", "n": "<u2"}
_LEAST = 1e-6  # of η and V on the logarithmic axes
_OUTSIDE = {
    "SIMBAD": "https://simbad.cds.unistra.fr/simbad/sim-coo?Coord={position}&Radius=1&Radius.unit=arcmin",
    "NED": "https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&iau_style=equatorial"
    "&coordinates={position}&radius=1&in_csys=Equatorial&in_equinox=J2000",
    "Aladin": "https://aladin.cds.unistra.fr/AladinLite/?target={position}&fov=0.2",
}


class SourceSearch(Listing):
    """Parameters of the page: a name or position, limits of the statistics; fluxes in mJy, the radius in arcmin."""

    limit: int = Field(50, ge=1, le=500)
    q: str = Field("", max_length=80)
    radius: FiniteFloat = Field(5.0, gt=0, le=60 * MAX_RADIUS_DEG)
    eta_min: FiniteFloat | None = None
    eta_max: FiniteFloat | None = None
    v_min: FiniteFloat | None = None
    v_max: FiniteFloat | None = None
    flux_min: FiniteFloat | None = None
    flux_max: FiniteFloat | None = None
    n_min: int = Field(0, ge=0, le=MAX_ID)
    cursor: ImageKey = None

    def position(self) -> tuple[float, float] | None:
        """Return the position of the search in degrees; None where it is a name."""
        try:
            return parse_position(self.q)
        except ValueError:
            return None

    def listing(self) -> SourceListing:
        """Return the parameters of the list; a text that is no position is part of a name."""
        limits = {name: getattr(self, name) for name in ("eta_min", "eta_max", "v_min", "v_max")}
        fluxes = {name: getattr(self, name) for name in ("flux_min", "flux_max")}
        position = self.position()
        region: Mapping[str, Any] = {"name": self.q.strip()[:64]}
        if position is not None:
            region = {"ra": position[0], "dec": position[1], "radius": self.radius / 60}
        listing = SourceListing(
            limit=self.limit, n_min=self.n_min, **limits, **region,
            **{name: None if value is None else value / 1e3 for name, value in fluxes.items()},
        )  # fmt: skip
        return listing.model_copy(update={"cursor": self.cursor})

    def link(self, changed: Mapping[str, Any]) -> str:
        """Return the address of the first page after a change of some parameters.

        Parameters
        ----------
        changed : new values by name.
        """
        parameters = self.model_dump(mode="json", exclude_defaults=True, exclude={"cursor"})
        return url_for("sources.show_plane", **{**parameters, **changed})


class PlaneQuery(Parameters):
    """Parameters of the planes: the fewest counted measurements of a source."""

    n_min: int = Field(2, ge=0, le=MAX_ID)


@sources.get("")
def show_plane() -> str:
    """Show the planes of variability and a table of the sources that meet the limits."""
    query, rule = parse_query(SourceSearch), CandidateRule.from_environment()
    rule_cuts = {"eta_min": rule.min_eta, "v_min": rule.min_v, "n_min": rule.min_epochs}
    return render_template(
        "sources/page.html", query=query, listed=list_sources(query.listing()), is_cone=query.position() is not None,
        is_limited=bool(query.model_fields_set - {"limit"}), rule_cuts=rule_cuts, link=query.link,
        scripts=BOKEH_SCRIPTS, version=version("bokeh"), style_nonce=allow_styles(),
    )  # fmt: skip


@sources.get("/plane")
def plane() -> Response:
    """Send the statistics of every source as little-endian columns.

    Number (int32), η, V, weighted mean flux in mJy (float32), counted measurements (uint16); each column whole, the
    sources with a statistic that cannot be drawn on a logarithmic axis at its lower end.
    """
    min_n, panel = max(2, parse_query(PlaneQuery).n_min), current_panel()
    content = panel.shared(("plane", min_n), lambda: encode_plane(panel.store.sky.eta_v(min_n=min_n)))
    return Response(content, mimetype="application/octet-stream")


@sources.get("/<int:source_id>")
def show(source_id: int) -> str:
    """Show a source: its light curve, stamps, statistics, identity and neighbours."""
    curve = read_curve(source_id, SHOWN_NEIGHBOURS)
    source, numbers = curve.source, curve.source.variability
    stamps = [row for row in curve.measurements if has_stamp(row)]
    position = quote(f"{source.ra_deg:.6f} {source.dec_deg:+.6f}")
    return render_template(
        "sources/source.html", source=source, numbers=numbers, curve=curve, neighbours=curve.neighbours,
        still=draw_still(curve.measurements, numbers.weighted_mean_jy if numbers else None),
        stamps=stamps[-MAX_STAMPS:],
        stamp_deg=STAMP_DEG, neighbour_deg=NEIGHBOUR_DEG, shown_neighbours=SHOWN_NEIGHBOURS,
        candidates=current_panel().store.sky.candidates(source_id=source_id), states=list(CandidateState),
        outside=[(label, address.format(position=position)) for label, address in _OUTSIDE.items()],
        scripts=BOKEH_SCRIPTS, version=version("bokeh"), style_nonce=allow_styles(),
    )  # fmt: skip


@sources.get("/<int:source_id>/stamps/<int:mosaic_id>.png")
def stamp(source_id: int, mosaic_id: int) -> Response:
    """Send the square around a source in a mosaic as a picture."""
    response = Response(draw_stamp(source_id, mosaic_id), mimetype="image/png")
    response.headers["Cache-Control"] = "private, max-age=600"
    return response


@sources.get("/candidates")
def show_candidates() -> str:
    """Show the candidates, the latest first, with forms that set their states."""
    query = parse_query(CandidateListing)
    return render_template(
        "sources/candidates.html", query=query, listed=list_candidates(query.limit, query.state, query.cursor),
        counts=count_candidates(), states=list(CandidateState),
    )  # fmt: skip


@sources.post("/candidates/<int:candidate_id>")
def set_state(candidate_id: int) -> AnyResponse:
    """Set the state of a candidate, with the note and the name of the form."""
    form = {name: request.form[name].strip() for name in StateRequest.model_fields if name in request.form}
    body = StateRequest(**form)
    candidate = set_candidate_state(candidate_id, body.state, body.note, body.name)
    flash(f"{candidate.source_name}: {candidate.state}", "info")
    if request.form.get("back") == "list":
        return redirect(url_for("sources.show_candidates"), 303)
    return redirect(url_for("sources.show", source_id=candidate.source_id), 303)


def encode_plane(statistics: EtaVPlane) -> bytes:
    """Return the statistics of sources as the columns of `plane`; sources without η are left out.

    Parameters
    ----------
    statistics : of the sources.
    """
    is_drawn = np.isfinite(statistics.eta) & np.isfinite(statistics.modulation_index)
    columns = []
    for name, kind in _PLANE_COLUMNS.items():
        values = getattr(statistics, name)[is_drawn]
        if name == "weighted_mean_jy":
            values = np.maximum(1e3 * values, _LEAST)
        elif kind == "<f4":
            values = np.maximum(values, _LEAST)
        elif kind == "<u2":
            values = np.minimum(values, 65535)
        columns.append(values.astype(kind).tobytes())
    return b"".join(columns)
