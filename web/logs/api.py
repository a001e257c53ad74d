"""`/api/logs`: what the processes of the service wrote; whole files for download."""

from flask import Blueprint, Response, request, send_file

from web.context import current_panel
from web.http.activity_models import LogsAnswer
from web.http.answers import respond
from web.http.errors import RequestError
from web.http.parameters import LogListing
from web.logs.files import log_path, newest, processes

logs = Blueprint("logs_api", __name__, url_prefix="/api/logs")


@logs.get("")
def read() -> Response:
    """The newest lines: `?process=&level=&group=&stage=&task=&host=&text=&limit=`."""
    query = LogListing.model_validate(request.args.to_dict())
    directory = current_panel().settings.state_dir / "logs"
    return respond(LogsAnswer(lines=newest(directory, query), processes=processes(directory)))


@logs.get("/<process>.log")
def download(process: str) -> Response:
    """A process' whole log."""
    path = log_path(current_panel().settings.state_dir / "logs", process)
    if path is None:
        raise RequestError(404, f"{process[:40]}: has no log here", "GET /api/logs names the processes that have one")
    return send_file(path.absolute(), mimetype="text/plain", as_attachment=True, download_name=path.name, max_age=0)
