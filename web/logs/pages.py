"""The page of logs, and of every event and alarm."""

from flask import Blueprint, render_template, request

from contimg.store import Stage
from web.context import current_panel
from web.http.parameters import EventListing, LogListing
from web.logs.files import newest, processes

logs = Blueprint("logs", __name__)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@logs.get("/logs")
def show() -> str:
    """The newest log lines that the address asks for."""
    query = LogListing.model_validate({key: value for key, value in request.args.items() if value})
    directory = current_panel().settings.state_dir / "logs"
    return render_template(
        "logs/lines.html", query=query, lines=newest(directory, query), processes=processes(directory), levels=LEVELS,
        stages=tuple(Stage),
    )  # fmt: skip


@logs.get("/events")
def events() -> str:
    """Every event, page by page: what happened, who commanded what, each alarm."""
    query = EventListing.model_validate({key: value for key, value in request.args.items() if value})
    found = current_panel().store.events.last(
        query.limit + 1, level=query.level, group=query.group, before=query.before
    )
    return render_template("logs/events.html", query=query, events=found[: query.limit], more=len(found) > query.limit)
