"""`/api/workers`: workers and queues, as Celery itself says."""

from flask import Blueprint, Response

from web.context import current_panel
from web.http.activity_models import WorkersAnswer
from web.http.answers import respond

workers = Blueprint("workers_api", __name__, url_prefix="/api/workers")


@workers.get("")
def read() -> Response:
    """What Celery said last, at most some seconds ago while somebody asks; nobody waits for its answer."""
    found = current_panel().inspector.latest()
    if found is None:
        return respond(WorkersAnswer(at=None, workers=(), waiting={}, unserved=(), error=None))
    return respond(WorkersAnswer.model_validate(found))
