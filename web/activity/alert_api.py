"""`/api/alerts`: by which rules an operator is alarmed, what holds now, and what has been."""

from flask import Blueprint, Response, request

from web.activity.alerting import rules_in_force
from web.http.activity_models import AlertAnswer, AlertRuleAnswer, AlertsAnswer
from web.http.answers import respond
from web.http.parameters import AlertListing
from web.stream import stream

alerts = Blueprint("alerts_api", __name__, url_prefix="/api/alerts")


@alerts.get("")
def read() -> Response:
    """The rules, the alerts that hold, and all of them, the newest first: `?before=&limit=`."""
    asked, room = AlertListing.model_validate(request.args.to_dict()), stream()
    found = room.store.alerts.listed(before=asked.before, limit=asked.limit + 1)
    shown = found[: asked.limit]
    return respond(
        AlertsAnswer(
            rules=tuple(AlertRuleAnswer.model_validate(one) for one in rules_in_force(room)),
            on=tuple(AlertAnswer.model_validate(one) for one in room.store.alerts.on()),
            alerts=tuple(AlertAnswer.model_validate(one) for one in shown),
            next_before=shown[-1].id if len(found) > asked.limit else None,
        )
    )
