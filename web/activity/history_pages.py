"""The page of charts: hours to months, drawn by the browser from `/api/history`."""

from flask import Blueprint, render_template

from web.activity.history import CHARTS

history = Blueprint("history", __name__)
SPANS = {"1 h": 3600, "6 h": 21600, "24 h": 86400, "7 d": 604800, "30 d": 2592000, "90 d": 7776000}


@history.get("/history")
def show() -> str:
    """The charts' frames."""
    return render_template("activity/history.html", charts=CHARTS, spans=SPANS)
