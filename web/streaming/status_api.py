"""`GET /api/status`: the stream at a glance."""

from flask import Blueprint, Response

from web.http.answers import respond, status_answer
from web.stream import stream

status = Blueprint("status", __name__, url_prefix="/api")


@status.get("/status")
def read() -> Response:
    """Condition, service, queue, rates, newest products and complaints."""
    room = stream()
    return respond(room.shared("status", lambda: status_answer(room.glance())))
