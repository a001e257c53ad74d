"""`/api/streaming/config`: the sixteen keys, read by anybody, changed by the operator."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from contimg.errors import Misconfigured
from contimg.settings import shown
from contimg.settings.changes import Change, change, describe, history, review, undo, without_password
from web.access.auth import operator_name, operator_only
from web.context import current_panel
from web.http.answers import respond
from web.http.errors import RequestError
from web.http.models import ChangeAnswer, ChangesAnswer, CommandAnswer, ReviewAnswer

configuration = Blueprint("configuration_api", __name__, url_prefix="/api/streaming/config")


@configuration.get("")
def read() -> Response:
    """The sixteen keys in force, without passwords."""
    return jsonify(shown(current_panel().config()))


@configuration.post("")
@operator_only
def write() -> Response:
    """Set keys; a running service is restarted with them."""
    changes = _changes()
    return respond(put_in_force(lambda: change(current_panel().settings, changes, operator_name())))


@configuration.post("/check")
def check() -> Response:
    """What setting keys would do; nothing is changed."""
    found = review(current_panel().settings, _changes())
    return respond(ReviewAnswer.model_validate(found))


@configuration.get("/changes")
def changes() -> Response:
    """What was changed from the panel or the API, by whom and when, the newest first."""
    made = history(current_panel().settings)[:100]
    return respond(ChangesAnswer(changes=tuple(_answer(one) for one in made)))


@configuration.post("/undo")
@operator_only
def take_back() -> Response:
    """Take the last change back; a running service is restarted."""
    return respond(put_in_force(lambda: undo(current_panel().settings, operator_name())))


def put_in_force(make: Callable[[], Change]) -> CommandAnswer:
    """Make a change, tell the event log, and restart the service if it runs."""
    panel = current_panel()
    try:
        made = make()
    except Misconfigured as error:
        raise RequestError(
            400, str(error), "nothing was changed; GET /api/streaming/config shows what is in force"
        ) from None
    word = "put back" if made.undoes else "changed"
    panel.store.events.add(f"configuration {word} by {made.by}: {describe(made)}")
    panel.forget_overview()
    if not panel.service.status().running:
        return CommandAnswer(success=True, message="saved; it holds from the next start")
    outcome = panel.service.restart()
    panel.forget_overview()
    return CommandAnswer(success=outcome.success, message=f"saved; {outcome.message}", pid=outcome.pid)


def _changes() -> Mapping[str, Any]:
    body = request.get_json()
    if not isinstance(body, dict) or not body:
        raise RequestError(400, "body: give one JSON object of keys and values", 'for example {"max_workers": 4}')
    return body


def _answer(made: Change) -> ChangeAnswer:
    before, after = (
        {key: without_password(key, value) for key, value in values.items()} for values in (made.before, made.after)
    )
    return ChangeAnswer.model_validate(
        {"at": made.at, "by": made.by, "before": before, "after": after, "undoes": made.undoes}
    )
