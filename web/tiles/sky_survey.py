"""The HiPS of the good mosaics in Aladin Lite on the Sky page: tiles, script, and what is drawn over it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flask import Blueprint, Response, jsonify, send_from_directory, url_for
from pydantic import Field

from contimg.epoch.hips import DIRECTORY, SKY_DEG2, has_survey, read_properties
from contimg.instrument.calibrators import catalogue
from contimg.instrument.coordinates import TELESCOPE, meridian_icrs
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S, mjd_to_unix, unix_to_jd
from contimg.quality.grades import GOOD
from contimg.store import GroupFilter, ImageFilter, ObservedTile, State, StoredMosaic, StoredMS
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import Night, Parameters
from web.http.responses import allow_viewer, send_product
from web.pages.aladin import COMMAND, SCRIPT, STYLE_HASHES, VERSION, find_script
from web.pages.layout import parse_query
from web.tiles.nights import NightList

sky = Blueprint("sky", __name__)
HIPS_FILE = re.compile(r"properties|Moc\.fits|Norder\d{1,2}/(Allsky|Dir\d{1,10}/Npix\d{1,12})\.(png|fits)")
MEDIA_TYPES = {".png": "image/png", ".fits": "application/fits"}
TILE_DEG = 2.7  # the primary beam at half power
TILE_DAYS = CADENCE_S / DAY_S
MAX_TILES = 3000
OVERLAYS = {
    "tiles": "tiles",
    "epochs": "epochs",
    "sources": "sources",
    "calibrators": "calibrators",
    "failed": "failed tiles",
}
FIELD_DEG = 8.0
MAX_EPOCHS, MAX_FAILED, MAX_SOURCES = 100, 200, 400
MIN_CALIBRATOR_JY = 1.0
Marks = list[dict[str, Any]]


class SkyView(Parameters):
    """Which tiles are drawn on the sky, and how: of a night or of the days until the newest; the strip or all sky."""

    days: int = Field(1, ge=1, le=3650)
    night: Night = ""
    view: Literal["strip", "all"] = "strip"


class Cone(Parameters):
    """A direction and a radius, degrees (ICRS)."""

    ra: float = Field(ge=0, le=360)
    dec: float = Field(ge=-90, le=90)
    radius: float = Field(gt=0, le=10)


def find_span(query: SkyView) -> tuple[float, float]:
    """Return the limits of the night, or of the days that end with the newest tile, MJD days.

    Parameters
    ----------
    query : of the page.
    """
    store = current_panel().store
    if query.night:
        nights = NightList.read(store, query.night)
        return nights.since_mjd, nights.until_mjd
    newest = store.products.images(1)
    until_mjd = newest[0].mjd + TILE_DAYS / 2 if newest else 0.0
    return until_mjd - query.days, until_mjd


def survey_directory() -> Path:
    """Return the directory of the HiPS."""
    return current_panel().config().output_dir / DIRECTORY


@dataclass(frozen=True, kw_only=True)
class SurveyView:
    """What the Sky page shows of the HiPS.

    Attributes
    ----------
    has_survey : whether there is a HiPS.
    is_viewable : whether there is also the viewer.
    ra_deg, dec_deg, field_deg : the view at first, ICRS: the newest mosaic.
    area_deg2 : area of the HiPS.
    """

    has_survey: bool
    is_viewable: bool = False
    ra_deg: float = 0.0
    dec_deg: float = 0.0
    field_deg: float = FIELD_DEG
    area_deg2: float = 0.0
    overlays = OVERLAYS
    version, script, command = VERSION, SCRIPT, COMMAND


def describe_survey() -> SurveyView:
    """Return what the page shows of the HiPS, and allow the viewer on this response where there is one."""
    directory = survey_directory()
    if not has_survey(directory):
        return SurveyView(has_survey=False)
    if find_script() is None:
        return SurveyView(has_survey=True)
    allow_viewer(STYLE_HASHES)
    newest = current_panel().store.mosaics.list_mosaics(1, grade=GOOD).mosaics
    properties = read_properties(directory)
    position = (
        (newest[0].ra_deg, newest[0].dec_deg)
        if newest
        else (float(properties["hips_initial_ra"]), float(properties["hips_initial_dec"]))
    )
    return SurveyView(
        has_survey=True, is_viewable=True, ra_deg=position[0], dec_deg=position[1],
        area_deg2=float(properties.get("moc_sky_fraction", 0)) * SKY_DEG2,
    )  # fmt: skip


@sky.get("/sky/hips/<path:name>")
def send_hips(name: str) -> Response:
    """Send a file of the HiPS: any sky viewer reads it from this address."""
    if not HIPS_FILE.fullmatch(name):
        raise RequestError(404, f"{name[:60]}: no file of a HiPS", "the HiPS is at /sky/hips", code="no_such_file")
    directory = survey_directory()
    return send_product(directory / name, directory, name, MEDIA_TYPES.get(Path(name).suffix, "text/plain"))


@sky.get("/sky/aladin/<version>/<name>")
def send_viewer(version: str, name: str) -> Response:
    """Send the script of Aladin Lite; the version in the address makes it cacheable for a year."""
    script = find_script()
    if script is None or (version, name) != (VERSION, SCRIPT):
        raise RequestError(404, f"{name[:40]}: no such script", "`contimg viewer install` installs Aladin Lite")
    return send_from_directory(script.parent, script.name, mimetype="text/javascript", max_age=int(365 * DAY_S))


@sky.get("/sky/overlays.json")
def read_overlays() -> Response:
    """Send the tiles, epochs, failed tiles of a night or span, and the calibrators, each with its page."""
    query, store = parse_query(SkyView), current_panel().store
    since_mjd, until_mjd = find_span(query)
    tiles = store.products.tiles(ImageFilter(since_mjd=since_mjd, until_mjd=until_mjd), MAX_TILES)
    mosaics = [
        mosaic
        for mosaic in store.mosaics.list_mosaics(MAX_EPOCHS).mosaics
        if mosaic.mjd_start is not None and since_mjd <= mosaic.mjd_start < until_mjd
    ]
    return jsonify(
        {
            "tiles": [_mark_tile(tile) for tile in tiles],
            "epochs": [_mark_epoch(mosaic) for mosaic in mosaics],
            "failed": list(_mark_failed(tiles, mjd_to_unix(since_mjd), mjd_to_unix(until_mjd))),
            "calibrators": _mark_calibrators(tiles),
        }
    )


@sky.get("/sky/sources.json")
def read_sources() -> Response:
    """Send the sources around a direction, the nearest first."""
    cone, store = parse_query(Cone), current_panel().store
    sources = store.sky.cone(cone.ra % 360, cone.dec, cone.radius, limit=MAX_SOURCES)
    marks = [
        _mark(source.name, url_for("sources.show", source_id=source.id), source.ra_deg, source.dec_deg)
        for source in sources
    ]
    return jsonify({"sources": marks})


def _mark(label: str, url: str, ra_deg: float, dec_deg: float, **values: Any) -> dict[str, Any]:
    return {"label": label, "url": url, "ra": round(ra_deg % 360, 6), "dec": round(dec_deg, 6), **values}


def _mark_tile(tile: ObservedTile) -> dict[str, Any]:
    grade = tile.verdict or "none"
    url = url_for("image_pages.show", image_id=tile.id)
    label = f"tile {tile.group}, {tile.verdict or 'not graded'}"
    return _mark(label, url, tile.ra_deg, tile.dec_deg, radius=TILE_DEG / 2, grade=grade)


def _mark_epoch(mosaic: StoredMosaic) -> dict[str, Any]:
    url = url_for("epoch_pages.show", epoch=mosaic.epoch)
    label = f"epoch {mosaic.epoch}, {mosaic.verdict or 'not graded'}"
    return _mark(
        label, url, mosaic.ra_deg, mosaic.dec_deg, grade=mosaic.verdict or "none", outline=mosaic.footprint.polygon()
    )


def _mark_failed(tiles: Sequence[ObservedTile], since_s: float, until_s: float) -> Iterator[dict[str, Any]]:
    """Failed tiles: where their Measurement Set points, else the meridian at the declination of the nearest tile."""
    store = current_panel().store
    failed = GroupFilter(state=State.FAILED, since_s=since_s, until_s=until_s)
    for group in store.files.find_groups(failed, MAX_FAILED):
        ms: StoredMS | None = store.products.measurement_set(group.id)
        if ms is not None:
            ra_deg, dec_deg = ms.ra_deg, ms.dec_deg
        elif tiles:
            nearest = min(tiles, key=lambda tile: abs(mjd_to_unix(tile.mjd) - group.reference_s))
            middle_jd = np.array([unix_to_jd(group.reference_s + CADENCE_S / 2)])
            directions = meridian_icrs(TELESCOPE, middle_jd, float(np.deg2rad(nearest.dec_deg)))
            ra_deg, dec_deg = float(np.rad2deg(directions[0, 0])), nearest.dec_deg
        else:
            continue
        url = url_for("groups.show", group=group.id)
        yield _mark(f"failed tile {group.id}: {group.error or 'no error recorded'}"[:120], url, ra_deg, dec_deg)


def _mark_calibrators(tiles: Sequence[ObservedTile]) -> Marks:
    """The bright calibrators within a tile's width of the declinations of the tiles."""
    decs = np.unique(np.round([tile.dec_deg for tile in tiles], 1))
    return [
        _mark(
            f"calibrator {source.label}, {source.flux_20cm_jy:.1f} Jy at 20 cm",
            url_for("calibration.show", _anchor="calibrators"), float(np.rad2deg(source.ra_rad)),
            float(np.rad2deg(source.dec_rad)),
        )
        for source in catalogue()
        if source.usable
        and source.flux_20cm_jy >= MIN_CALIBRATOR_JY
        and decs.size
        and np.abs(decs - np.rad2deg(source.dec_rad)).min() < TILE_DEG
    ]  # fmt: skip
