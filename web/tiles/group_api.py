"""`/api/queue` and `/api/groups`: where each group stands, and another try for one that failed."""

from flask import Blueprint, Response, request

from web.access.auth import operator_name, operator_only
from web.context import current_panel
from web.http.answers import group_detail, respond
from web.http.errors import RequestError
from web.http.models import GroupAnswer, GroupDetailAnswer, QueueAnswer, RunningAnswer
from web.http.parameters import GroupListing, RetryOrder

queue = Blueprint("queue", __name__, url_prefix="/api")


@queue.get("/queue")
def read_queue() -> Response:
    """Counts, stages under way, and groups: `?state=failed&limit=50`."""
    query = GroupListing.model_validate(request.args.to_dict())
    store = current_panel().store
    snapshot = store.overview.snapshot(shown=0)
    return respond(
        QueueAnswer(
            paused=snapshot.paused,
            states=snapshot.states,
            waiting=snapshot.waiting,
            running=tuple(RunningAnswer.model_validate(one) for one in snapshot.running),
            oldest_pending_s=snapshot.oldest_pending_s,
            groups=tuple(GroupAnswer.model_validate(one) for one in store.queue.groups(query.state, query.limit)),
        )
    )


@queue.get("/groups/<group>")
def read_group(group: str) -> Response:
    """One group: files, every attempt at each stage, products, what happened."""
    return respond(_known(group))


@queue.post("/groups/<group>/retry")
@operator_only
def retry(group: str) -> Response:
    """Put a failed or discarded group back in the queue; make a completed one again."""
    _known(group)
    order = RetryOrder.model_validate(request.get_json() if request.content_length else {})
    current_panel().store.queue.retry(group, stage=order.stage)
    return respond(_known(group))


@queue.post("/groups/<group>/discard")
@operator_only
def discard(group: str) -> Response:
    """Take a group out of the stream; its files stay."""
    _known(group)
    current_panel().store.queue.discard(group)
    current_panel().store.events.add(f"discarded by {operator_name()}", level="warning", group=group)
    return respond(_known(group))


def _known(group: str) -> GroupDetailAnswer:
    found = group_detail(current_panel().store, group)
    if found is None:
        raise RequestError(404, f"group {group[:40]}: not in the store", "GET /api/queue lists those that are")
    return found
