"""The page of logs, and of every event and alarm."""

from flask import Blueprint, render_template, request

from contimg.store import Stage
from web.http.parameters import EventListing, LogListing
from web.logs.files import newest, processes
from web.stream import stream

logs = Blueprint("logs", __name__)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@logs.get("/logs")
def show() -> str:
    """The newest log lines that the address asks for."""
    asked = LogListing.model_validate({key: value for key, value in request.args.items() if value})
    directory = stream().settings.state_dir / "logs"
    return render_template(
        "logs.html", asked=asked, lines=newest(directory, asked), processes=processes(directory), levels=LEVELS,
        stages=tuple(Stage),
    )  # fmt: skip


@logs.get("/events")
def events() -> str:
    """Every event, page by page: what happened, who commanded what, each alarm."""
    asked = EventListing.model_validate({key: value for key, value in request.args.items() if value})
    found = stream().store.browse.events(
        level=asked.level, group=asked.group, before=asked.before, limit=asked.limit + 1
    )
    return render_template("events.html", asked=asked, events=found[: asked.limit], more=len(found) > asked.limit)
