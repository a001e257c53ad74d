"""The page of alerts: by which rules an operator is alarmed, which are broken now, and which were."""

from flask import Blueprint, render_template, request

from web.context import current_panel
from web.http.parameters import AlertListing

alerts = Blueprint("alerts", __name__)


@alerts.get("/alerts")
def show() -> str:
    """The rules with their state, and the alerts, the newest first."""
    query = AlertListing.model_validate({key: value for key, value in request.args.items() if value})
    panel = current_panel()
    found = panel.store.alerts.last(query.limit + 1, before=query.before)
    return render_template(
        "activity/alerts.html",
        query=query,
        rules=panel.alert_rules(),
        on={one.rule: one for one in panel.store.alerts.active()},
        alerts=found[: query.limit],
        more=len(found) > query.limit,
    )
