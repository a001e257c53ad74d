"""`/api/logs`: log lines of the service's processes, and whole files."""

from dataclasses import dataclass
from typing import Annotated

from flask import Response, send_file
from pydantic import BaseModel, Field

from contimg.formats.records import about
from web.context import current_panel
from web.http.api import Api
from web.http.errors import RequestError
from web.http.parameters import LogListing
from web.logs.files import LogLine, list_processes, log_path, newest_lines

logs = Api("logs_api", "/api/logs")


@dataclass(frozen=True)
class LogList:
    """Log lines, the newest first, and the processes that have a log."""

    next: Annotated[str | None, about("`cursor` of the next page; null on the last", example="2026-02-22T03:04:05Z~2")]
    lines: Annotated[tuple[LogLine, ...], about("Log lines, the newest first")]
    processes: Annotated[tuple[str, ...], about("Processes that have a log", example=["producer", "web"])]


class LogPath(BaseModel):
    """A process in a path."""

    process: Annotated[str, about("Name of the process", example="producer")] = Field(min_length=1)


@logs.read("", LogList)
def read(query: LogListing) -> LogList:
    """The newest lines.

    At most the last 8 MB of each log are searched. Log lines are not counted: the answer has no `total`.
    """
    directory = current_panel().settings.state_dir / "logs"
    lines, following = newest_lines(directory, query)
    return LogList(following, lines, list_processes(directory))


@logs.read("/<process>.log", "text/plain")
def download(path: LogPath) -> Response:
    """The whole log of a process.

    The file as it is on disk, in JSON or text as CONTIMG_LOG_FORMAT sets.
    """
    log = log_path(current_panel().settings.state_dir / "logs", path.process)
    if log is None:
        raise RequestError(404, f"{path.process[:40]}: no such log", "GET /api/logs lists the processes that have one")
    return send_file(log.absolute(), mimetype="text/plain", as_attachment=True, download_name=log.name, max_age=0)
