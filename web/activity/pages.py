"""The page of alerts, and the page of charts."""

from flask import Blueprint, render_template

from web.activity.history import CHARTS
from web.context import current_panel
from web.http.parameters import AlertListing
from web.pages.layout import parse_query

alerts = Blueprint("alerts", __name__)
history = Blueprint("history", __name__)
SPANS_S = {"1 h": 3600, "6 h": 21600, "24 h": 86400, "7 d": 604800, "30 d": 2592000, "90 d": 7776000}


@alerts.get("/alerts", endpoint="show")
def show_alerts() -> str:
    """Show the rules with their state, and the alerts, the newest first."""
    query, panel = parse_query(AlertListing), current_panel()
    listed = panel.store.alerts.last(query.limit + 1, before=query.before)
    return render_template(
        "activity/alerts.html",
        query=query,
        rules=panel.alert_rules(),
        on={alert.rule: alert for alert in panel.store.alerts.active()},
        alerts=listed[: query.limit],
        more=len(listed) > query.limit,
    )


@history.get("/history", endpoint="show")
def show_history() -> str:
    """Show the charts."""
    return render_template("activity/history.html", charts=CHARTS, spans=SPANS_S)
