"""The page of alerts, and the page of charts."""

from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from flask import Blueprint, Response, render_template, request, send_from_directory
from werkzeug.wrappers import Response as AnyResponse

from contimg.common.units import format_utc
from contimg.instrument.time import DAY_S
from contimg.store.activity.remedies import ALERTS
from web.activity.alerts import acknowledge_alert, add_maintenance, end_silence, silence_alert
from web.activity.history import CHARTS, read_line
from web.context import current_panel
from web.http.bodies import AcknowledgeRequest, MaintenanceRequest, SilenceRequest
from web.http.errors import RequestError
from web.http.parameters import AlertListing
from web.http.responses import allow_styles
from web.pages.layout import parse_query, report
from workers.service.records import CommandOutcome

Form = TypeVar("Form", SilenceRequest, MaintenanceRequest)
alerts = Blueprint("alerts", __name__)
history = Blueprint("history", __name__)
BOKEH_SCRIPTS = ("bokeh.min.js", "bokeh-api.min.js")
SPANS_S = {"1 h": 3600, "6 h": 21600, "24 h": 86400, "7 d": 604800, "30 d": 2592000, "90 d": 7776000}


@alerts.get("/alerts", endpoint="show")
def show_alerts() -> str:
    """Show the rules with their state, and the alerts, the newest first."""
    query, panel = parse_query(AlertListing), current_panel()
    listed = panel.store.alerts.last(query.limit + 1, before=query.key)
    return render_template(
        "activity/alerts.html",
        query=query,
        rules=panel.alert_rules(),
        remedies=ALERTS,
        on={alert.rule: alert for alert in panel.store.alerts.active()},
        silences=panel.store.silences.current_and_planned(),
        alerts=listed[: query.limit],
        more=len(listed) > query.limit,
    )


@alerts.post("/alerts/<int:alert_id>/acknowledge")
def acknowledge(alert_id: int) -> AnyResponse:
    """Acknowledge an active alert, with the note of the form."""
    alert = acknowledge_alert(alert_id, AcknowledgeRequest(note=request.form.get("note", "").strip()).note)
    return report(CommandOutcome(True, f"{alert.rule} acknowledged"), "", "alerts.show")


@alerts.post("/alerts/<int:alert_id>/silence")
def silence(alert_id: int) -> AnyResponse:
    """Silence the rule of an alert, until the time and for the reason of the form."""
    form = _read_form(SilenceRequest)
    record = silence_alert(alert_id, form.until, form.reason)
    return report(CommandOutcome(True, f"{record.rule} silenced until {format_utc(record.ends_at)}"), "", "alerts.show")


@alerts.post("/alerts/maintenance")
def plan_maintenance() -> AnyResponse:
    """Add a maintenance window, with the times and the reason of the form."""
    form = _read_form(MaintenanceRequest)
    record = add_maintenance(form.until, form.reason, form.since)
    return report(CommandOutcome(True, f"maintenance until {format_utc(record.ends_at)}"), "", "alerts.show")


@alerts.post("/alerts/maintenance/<int:silence_id>/end")
def end_maintenance(silence_id: int) -> AnyResponse:
    """End a maintenance window or a silence now."""
    return report(CommandOutcome(True, f"{end_silence(silence_id).label} ended"), "", "alerts.show")


def _read_form(kind: type[Form]) -> Form:
    """Read the fields of a form, but those of the sign-in; raises ValidationError, which is answered with 400."""
    return kind(**{name: request.form[name].strip() for name in kind.model_fields if name in request.form})


@history.get("/history", endpoint="show")
def show_history() -> str:
    """Show the charts, and a day's values in a table: the last day, for numbers of images that of the newest image."""
    store = current_panel().store
    now_s = store.database.clock()
    newest = store.products.images(1)
    newest_s = newest[0].observed_at + 1 if newest else now_s
    day = []
    for chart in CHARTS:
        until_s = newest_s if chart.by_observation else now_s
        for line in chart.lines:
            steps = read_line(store, line, until_s - DAY_S, until_s, 1)
            day.append((chart, line, [number for step in steps for number in (step.mean, step.minimum, step.maximum)]))
    return render_template(
        "activity/history.html", charts=CHARTS, spans=SPANS_S, day=day, scripts=BOKEH_SCRIPTS, version=version("bokeh"),
        newest_s=newest_s if newest else None, style_nonce=allow_styles(), sizes=store.sizes.last(),
    )  # fmt: skip


@history.get("/bokeh/<version>/<name>")
def send_bokeh(version: str, name: str) -> Response:
    """Send a script of BokehJS from the installed wheel; the version in the address makes it cacheable for a year."""
    if name not in BOKEH_SCRIPTS:
        raise RequestError(404, f"{name[:40]}: no such script", f"the scripts are {', '.join(BOKEH_SCRIPTS)}")
    directory = Path(str(files("bokeh"))) / "server" / "static" / "js"
    return send_from_directory(directory, name, mimetype="text/javascript", max_age=int(365 * DAY_S))
