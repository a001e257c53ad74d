"""The pages of epochs: a calendar of windows and days, and one epoch with its mosaic, tiles and QA grade."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from pydantic import Field
from werkzeug.wrappers import Response

from contimg.instrument.time import DAY_S
from contimg.quality.comparison import describe_comparison
from contimg.quality.grades import Check
from contimg.quality.mosaic import MosaicThresholds, check_mosaic
from contimg.store import EpochRecord
from contimg.store.epochs.mosaics import FILES
from web.context import current_panel
from web.http.parameters import Parameters, Time
from web.pages.layout import parse_query
from web.streaming.epochs import find_epoch, retry_epoch

epoch_pages = Blueprint("epoch_pages", __name__, url_prefix="/epochs")
SHOWN_DAYS, MAX_EPOCHS = 7, 400


class Calendar(Parameters):
    """Parameters of the calendar: the day that it ends with; without it, that of the newest epoch."""

    until: Time = Field(None)


@dataclass(frozen=True)
class CalendarRow:
    """The epochs of one date of the calendar, by window and strip."""

    date: str
    epochs: tuple[EpochRecord, ...]


@epoch_pages.get("")
def calendar() -> str:
    """Show the epochs of a week, by date and sidereal time."""
    query, store = parse_query(Calendar), current_panel().store
    newest = store.epochs.list_epochs(1, until_s=query.until and query.until + DAY_S).epochs
    until_s = (newest[0].reference_s // DAY_S + 1) * DAY_S if newest else 0.0
    listed = store.epochs.list_epochs(MAX_EPOCHS, since_s=until_s - SHOWN_DAYS * DAY_S, until_s=until_s)
    by_date: dict[str, list[EpochRecord]] = {}
    for epoch in reversed(listed.epochs):
        by_date.setdefault(epoch.id[:10], []).append(epoch)
    rows = [CalendarRow(date, tuple(day)) for date, day in sorted(by_date.items(), reverse=True)]
    earlier = store.epochs.list_epochs(1, until_s=until_s - SHOWN_DAYS * DAY_S).epochs if newest else ()
    return render_template("streaming/epochs.html", rows=rows, earlier=earlier[0] if earlier else None, query=query)


@epoch_pages.get("/<epoch>")
def show(epoch: str) -> str:
    """Show an epoch."""
    record, store = find_epoch(epoch), current_panel().store
    mosaic = store.mosaics.mosaic_of(record.job_id)
    checks: tuple[Check, ...] = check_mosaic(mosaic, MosaicThresholds.from_environment()) if mosaic else ()
    files, plot = list[tuple[str, str]](), None
    if mosaic is not None:
        endpoints = {"fits": "fits", "weight.fits": "weight_fits", "rms.fits": "rms_fits", "png": "png"}
        files = [
            (url_for(f"mosaics.{endpoint}", mosaic_id=mosaic.id), FILES[name][1])
            for name, endpoint in endpoints.items()
        ]
        if mosaic.comparison_png_path is not None:
            plot = url_for("mosaics.comparison_png", mosaic_id=mosaic.id, of=int(mosaic.created_at))
    values: dict[str, Any] = {"comparison_plot": plot, "compared_with": mosaic and describe_comparison(mosaic)}
    values |= {"runs": store.jobs.runs(record.job_id), "checks": checks, "files": files}
    return render_template("streaming/epoch.html", epoch=record, mosaic=mosaic, **values)


@epoch_pages.post("/<epoch>/retry")
def retry(epoch: str) -> Response:
    """Make the mosaic of an epoch again."""
    flash(f"{retry_epoch(epoch).id}: pending", "info")
    return redirect(url_for("epoch_pages.show", epoch=epoch), 303)
