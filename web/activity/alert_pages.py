"""The page of alerts: by which rules an operator is alarmed, which are broken now, and which were."""

from flask import Blueprint, render_template, request

from web.activity.alerting import rules_in_force
from web.http.parameters import AlertListing
from web.stream import stream

alerts = Blueprint("alerts", __name__)


@alerts.get("/alerts")
def show() -> str:
    """The rules with their state, and the alerts, the newest first."""
    asked = AlertListing.model_validate({key: value for key, value in request.args.items() if value})
    room = stream()
    found = room.store.alerts.listed(before=asked.before, limit=asked.limit + 1)
    return render_template(
        "alerts.html",
        asked=asked,
        rules=rules_in_force(room),
        on={one.rule: one for one in room.store.alerts.on()},
        alerts=found[: asked.limit],
        more=len(found) > asked.limit,
    )
