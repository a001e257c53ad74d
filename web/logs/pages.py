"""The pages of log lines and of events."""

from flask import Blueprint, render_template

from contimg.store import Stage
from web.context import current_panel
from web.http.parameters import EventListing, LogListing
from web.logs.files import LEVELS, list_processes, newest_lines
from web.pages.layout import parse_query

logs = Blueprint("logs", __name__)


@logs.get("/logs")
def show() -> str:
    """Show the newest log lines that match the address."""
    query, directory = parse_query(LogListing), current_panel().settings.state_dir / "logs"
    return render_template(
        "logs/lines.html", query=query, lines=newest_lines(directory, query)[0], processes=list_processes(directory),
        levels=LEVELS[:-1], stages=tuple(Stage),
    )  # fmt: skip


@logs.get("/events")
def events() -> str:
    """Show the events, page by page: what happened, the commands and who gave them, alerts."""
    query = parse_query(EventListing)
    listed = current_panel().store.events.last(
        query.limit + 1, level=query.level, group=query.group, before=query.before
    )
    return render_template(
        "logs/events.html", query=query, events=listed[: query.limit], more=len(listed) > query.limit
    )
