"""`GET /api/status`: the stream at a overview."""

from flask import Blueprint, Response

from web.context import current_panel
from web.http.answers import respond, status_answer

status = Blueprint("status", __name__, url_prefix="/api")


@status.get("/status")
def read() -> Response:
    """Condition, service, queue, rates, newest products and complaints."""
    panel = current_panel()
    return respond(panel.shared("status", lambda: status_answer(panel.overview())))
