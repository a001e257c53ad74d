"""The pages of epochs: a calendar of windows and days, and an epoch with its mosaic in the viewer, and its QA grade."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, url_for
from pydantic import Field
from werkzeug.wrappers import Response as Redirection

from contimg.instrument.time import DAY_S
from contimg.quality.comparison import describe_comparison
from contimg.quality.mosaic import MosaicThresholds, check_mosaic
from contimg.sky.coverage import REACH_DEG
from contimg.store import EpochRecord, State, StoredMosaic
from contimg.store.epochs.mosaics import FILES
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import Parameters, Time
from web.http.responses import product_file
from web.pages.layout import parse_query
from web.streaming.epoch_calendar import arrange_epochs
from web.streaming.epochs import find_epoch, retry_epoch
from web.tiles.pixels import open_plane, open_viewed, read_values, send_pixels
from web.tiles.quality_table import rows_of_checks

epoch_pages = Blueprint("epoch_pages", __name__, url_prefix="/epochs")
SHOWN_DAYS = 14
COUNTED = {State.COLLECTING: "collecting", State.PENDING: "pending", State.IN_PROGRESS: "in progress",
           State.FAILED: "failed"}  # fmt: skip
LAYERS = {"image": "mosaic", "weight": "weight", "rms": "noise"}
"""Labels of the layers of a mosaic in the viewer."""
_FILE_OF_LAYER = {"image": "fits", "weight": "weight.fits", "rms": "rms.fits"}
_ENDPOINTS = {"fits": "fits", "weight.fits": "weight_fits", "rms.fits": "rms_fits", "png": "png", "qa.png": "qa_png",
              "comparison.png": "comparison_png"}  # fmt: skip
_NOISE_SHOWN = 5.0  # limit of the colours of the noise map, times the noise


class CalendarView(Parameters):
    """Parameters of the calendar: the day that it ends with; without it, that of the newest epoch."""

    until: Time = Field(None)


@dataclass(frozen=True)
class Download:
    """A file of a mosaic: its address, its label, and its size in bytes; None where it is not on disk."""

    address: str
    label: str
    size_bytes: int | None


@dataclass(frozen=True)
class Member:
    """A tile image in a mosaic or left out, and the number of its page; None where it is no longer in the store."""

    numbers: Any
    image_id: int | None


@epoch_pages.get("")
def calendar() -> str:
    """Show the epochs of two weeks: windows of sidereal time by days."""
    query, store = parse_query(CalendarView), current_panel().store
    newest = store.epochs.list_epochs(1, until_s=query.until and query.until + DAY_S).epochs
    until_s = (newest[0].reference_s // DAY_S + 1) * DAY_S if newest else 0.0
    since_s = until_s - SHOWN_DAYS * DAY_S
    earlier = store.epochs.list_epochs(1, until_s=since_s).epochs if newest else ()
    counts = {label: store.epochs.list_epochs(1, state=state).total for state, label in COUNTED.items()}
    return render_template(
        "streaming/epochs.html", calendar=arrange_epochs(store.mosaics.calendar(since_s, until_s), until_s),
        earlier=earlier[0].id[:10] if earlier else None, query=query, counts=counts,
    )  # fmt: skip


@epoch_pages.get("/<epoch>")
def show(epoch: str) -> str:
    """Show an epoch."""
    record, store = find_epoch(epoch), current_panel().store
    mosaic = store.mosaics.mosaic_of(record.job_id)
    numbers = {tile.fits_path: tile.image_id for tile in record.tiles}
    values: dict[str, Any] = {
        "runs": store.jobs.runs(record.job_id), "mosaic": mosaic, "neighbours": store.epochs.neighbours(record)
    }  # fmt: skip
    if mosaic is not None:
        values |= {
            "quality_rows": rows_of_checks(check_mosaic(mosaic, MosaicThresholds.from_environment())),
            "files": _list_files(mosaic),
            "compared_with": describe_comparison(mosaic),
            "comparison_plot": _find_comparison_plot(mosaic),
            "members": [Member(member, numbers.get(member.fits_path)) for member in mosaic.members],
            "omitted": [Member(omitted, numbers.get(omitted.fits_path)) for omitted in mosaic.omitted],
        }
    return render_template("streaming/epoch.html", epoch=record, **values)


@epoch_pages.post("/<epoch>/retry")
def retry(epoch: str) -> Redirection:
    """Make the mosaic of an epoch again."""
    flash(f"{retry_epoch(epoch).id}: pending", "info")
    return redirect(url_for("epoch_pages.show", epoch=epoch), 303)


@epoch_pages.get("/<epoch>/viewer.json")
def describe(epoch: str) -> Response:
    """Describe the mosaic of an epoch for the viewer: coordinates, numbers, layers, sources, members."""
    mosaic = _find_mosaic(epoch)
    plane = open_viewed(_layer_file(mosaic, "image"))
    return jsonify(
        {
            "id": mosaic.id,
            "epoch": mosaic.epoch,
            "page": url_for("epoch_pages.show", epoch=epoch),
            "value": url_for("epoch_pages.value", epoch=epoch),
            "pixels": url_for("epoch_pages.pixels", epoch=epoch),
            "columns": plane.columns,
            "rows": plane.rows,
            "wcs": plane.wcs,
            "rms_jy": mosaic.rms_jy,
            "peak_jy": mosaic.peak_jy,
            "beam_arcsec": [mosaic.beam_major_arcsec, mosaic.beam_minor_arcsec],
            "beam_angle_deg": mosaic.beam_angle_deg,
            "layers": {name: label for name, label in LAYERS.items() if _layer_path(mosaic, name).is_file()},
            "scales": {
                "weight": {"low": 0.0, "high": mosaic.peak_weight, "factor": 1e-6, "unit": "weight, 1/mJy²"},
                "rms": {"low": 0.0, "high": _NOISE_SHOWN * mosaic.rms_jy, "factor": 1e3, "unit": "noise, mJy/beam"},
            },
            "sources": mosaic.sources,
            "calibrators": [],
            "members": [
                {"name": member.name, "ra_deg": member.ra_deg, "dec_deg": member.dec_deg, "radius_deg": REACH_DEG}
                for member in mosaic.members
            ],
        }
    )


@epoch_pages.get("/<epoch>/pixels")
def pixels(epoch: str) -> Response:
    """Send a part of a layer of the mosaic averaged to the pixels of a screen."""
    mosaic = _find_mosaic(epoch)
    return send_pixels(lambda layer: open_plane(_layer_file(mosaic, layer)))


@epoch_pages.get("/<epoch>/value.json")
def value(epoch: str) -> Response:
    """Send the value of every layer of the mosaic at a pixel; null where it is blank or there is no such layer."""
    mosaic, output_dir = _find_mosaic(epoch), current_panel().config().output_dir.resolve()
    paths = {name: _layer_path(mosaic, name) for name in LAYERS}
    present = {
        name: path if path.is_file() and path.resolve().is_relative_to(output_dir) else None
        for name, path in paths.items()
    }
    return jsonify(read_values(present))


def _find_mosaic(epoch: str) -> StoredMosaic:
    record: EpochRecord = find_epoch(epoch)
    mosaic = current_panel().store.mosaics.mosaic_of(record.job_id)
    if mosaic is None:
        text = f"{record.id}: no mosaic yet"
        raise RequestError(404, text, "GET /api/mosaics lists the mosaics", code="no_such_mosaic")
    return mosaic


def _layer_path(mosaic: StoredMosaic, layer: str) -> Path:
    path = mosaic.file(_FILE_OF_LAYER.get(layer, ""))
    if path is None:
        raise RequestError(404, f"{layer[:16]}: no layer of a mosaic", f"the layers are {', '.join(LAYERS)}")
    return path


def _layer_file(mosaic: StoredMosaic, layer: str) -> Path:
    return product_file(_layer_path(mosaic, layer), current_panel().config().output_dir, LAYERS[layer])


def _find_comparison_plot(mosaic: StoredMosaic) -> str | None:
    """The address of the plots of the comparison with the reference catalogue, if there are any."""
    if mosaic.comparison_png_path is None:
        return None
    return url_for("mosaics.comparison_png", mosaic_id=mosaic.id, of=int(mosaic.created_at))


def _list_files(mosaic: StoredMosaic) -> list[Download]:
    """The files of a mosaic that can be downloaded."""
    downloads = []
    for name, endpoint in _ENDPOINTS.items():
        path = mosaic.file(name)
        if path is not None:
            address = url_for(f"mosaics.{endpoint}", mosaic_id=mosaic.id)
            downloads.append(Download(address, FILES[name][1], path.stat().st_size if path.is_file() else None))
    return downloads
