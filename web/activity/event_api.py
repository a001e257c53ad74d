"""`GET /api/events`: what happens, as it happens, as server-sent events."""

from collections.abc import Callable, Iterator
from typing import cast

from flask import Blueprint, Response, request

from contimg.store import EventRecord
from web.context import current_panel
from web.http.activity_models import EventsAnswer
from web.http.answers import respond
from web.http.errors import RequestError
from web.http.models import EventAnswer
from web.http.parameters import EventListing

RECONNECT_MS = 2000
GREATEST_ID = 2**63 - 1

events = Blueprint("events", __name__, url_prefix="/api")


@events.get("/events")
def follow() -> Response:
    """Events after `Last-Event-ID`, or after `?after=`, or from now on; the connection ends after ten minutes."""
    live = current_panel().live
    after = _asked_from()
    if not live.add_viewer():
        raise RequestError(503, f"{live.capacity} viewers follow already", "try again in a moment, or read /api/status")
    gone = cast(Callable[[], bool], request.environ.get("waitress.client_disconnected", lambda: False))
    response = Response(
        _lines(live.follow(after, gone)),
        mimetype="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.call_on_close(live.remove_viewer)
    return response


@events.get("/events/list")
def listed() -> Response:
    """Events, the newest first: `?level=&group=&before=&limit=`."""
    query = EventListing.model_validate(request.args.to_dict())
    found = current_panel().store.browse.events(
        level=query.level, group=query.group, before=query.before, limit=query.limit + 1
    )
    shown = found[: query.limit]
    following = shown[-1].id if len(found) > query.limit else None
    return respond(EventsAnswer(events=tuple(EventAnswer.model_validate(one) for one in shown), next_before=following))


def _asked_from() -> int:
    text = request.headers.get("Last-Event-ID") or request.args.get("after")
    if text is None:
        last = current_panel().store.events.last(1)
        return last[0].id if last else 0
    if not text.isascii() or not text.isdigit() or int(text) > GREATEST_ID:
        raise RequestError(
            400, f"after: {text[:20]!r} is not the id of an event", "give the id of the last one you have"
        )
    return int(text)


def _lines(followed: Iterator[EventRecord | None]) -> Iterator[str]:
    yield f"retry: {RECONNECT_MS}\n\n"
    for event in followed:
        if event is None:
            yield ": quiet\n\n"
        else:
            yield f"id: {event.id}\ndata: {EventAnswer.model_validate(event).model_dump_json()}\n\n"
