"""The pages of nights: a calendar of a year, and a night with the sections of its report and notes of observers."""

from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from pydantic import Field
from werkzeug.wrappers import Response as Redirection

from contimg.common.units import format_utc
from contimg.store.survey.nights.nights import MAX_NOTE_LENGTH, day_limits, day_of
from contimg.survey.nights import Cell, list_sections, summarise
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import Parameters
from web.http.responses import allow_inline_styles, send_product
from web.pages.layout import parse_query
from web.survey.night_calendar import WEEKDAYS, arrange_year
from web.survey.nights import add_note, find_night

night_pages = Blueprint("night_pages", __name__, url_prefix="/nights")
_ADDRESSES: dict[str, Callable[[str], str]] = {
    "group": lambda key: url_for("groups.show", group=key),
    "epoch": lambda key: url_for("epoch_pages.show", epoch=key),
    "antenna": lambda key: url_for("antenna_pages.show_antenna", antenna=key),
    "set": lambda _key: url_for("calibration.show"),
}


class CalendarView(Parameters):
    """Parameters of the calendar: a month, as 2026-02, whose year is shown; without it that of the newest tile."""

    month: str = Field("", pattern=r"^(19[7-9]\d|[2-9]\d{3})-(0[1-9]|1[0-2])$|^$")


@night_pages.get("")
def calendar() -> str:
    """Show the nights of a year by month, and those of one month in numbers."""
    query, store = parse_query(CalendarView), current_panel().store
    newest_day = store.nights.newest_day()
    month = query.month or (newest_day or day_of(store.database.clock()))[:7]
    year = int(month[:4])
    limits = day_limits(f"{year:04d}-01-01")[0], day_limits(f"{year + 1:04d}-01-01")[0]
    summaries = current_panel().shared(("nights", year), lambda: store.nights.summaries(*limits))
    nights = {night.day: night for night in summaries}
    listed = [night for night in reversed(summaries) if night.day.startswith(month) and night.expected_tiles]
    return render_template(
        "survey/nights.html", year=year, month=month, months=arrange_year(year, nights), weekdays=WEEKDAYS,
        listed=listed, newest_day=newest_day, today=day_of(store.database.clock()),
    )  # fmt: skip


@night_pages.get("/<day>")
def show(day: str) -> str:
    """Show a night."""
    night = find_night(day)
    begin_s, end_s = day_limits(day)
    return render_template(
        "survey/night.html", night=night, sections=list_sections(night), summary=summarise(night), address=_address,
        before=day_of(begin_s - 1), after=day_of(end_s), max_note=MAX_NOTE_LENGTH,
        weekday=format_utc(begin_s, "%A"),
    )  # fmt: skip


@night_pages.get("/<day>/report.html")
def report(day: str) -> Response:
    """Send the report of a night, as it is kept with the products."""
    night = find_night(day)
    if night.report_path is None:
        text = f"{day}: its report is not written yet"
        raise RequestError(404, text, f"`contimg night {day} --html` writes it")
    allow_inline_styles()
    return send_product(Path(night.report_path), current_panel().config().output_dir, "report", "text/html")


@night_pages.post("/<day>/notes")
def write_note(day: str) -> Redirection:
    """Add a note to a night."""
    add_note(day, request.form.get("text", ""))
    flash(f"{day}: note added", "info")
    return redirect(url_for("night_pages.show", day=day, _anchor="night-notes"), 303)


def _address(cell: str | Cell) -> str:
    """The page of what a cell names; empty for none."""
    return _ADDRESSES[cell.kind](cell.key) if isinstance(cell, Cell) and cell.key else ""
