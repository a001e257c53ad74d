"""`/api/alerts`: by which rules an operator is alarmed, what holds now, and what has been."""

from flask import Blueprint, Response, request

from web.activity.alerting import rules_in_force
from web.context import current_panel
from web.http.activity_models import AlertAnswer, AlertRuleAnswer, AlertsAnswer
from web.http.answers import respond
from web.http.parameters import AlertListing

alerts = Blueprint("alerts_api", __name__, url_prefix="/api/alerts")


@alerts.get("")
def read() -> Response:
    """The rules, the alerts that hold, and all of them, the newest first: `?before=&limit=`."""
    query, panel = AlertListing.model_validate(request.args.to_dict()), current_panel()
    found = panel.store.alerts.listed(before=query.before, limit=query.limit + 1)
    shown = found[: query.limit]
    return respond(
        AlertsAnswer(
            rules=tuple(AlertRuleAnswer.model_validate(one) for one in rules_in_force(panel)),
            on=tuple(AlertAnswer.model_validate(one) for one in panel.store.alerts.on()),
            alerts=tuple(AlertAnswer.model_validate(one) for one in shown),
            next_before=shown[-1].id if len(found) > query.limit else None,
        )
    )
