"""Acknowledge and silence alerts, and plan maintenance windows, for the API and the pages."""

from contimg.common.errors import BadInput
from contimg.common.units import parse_moment
from contimg.store import AlertRecord, SilenceRecord
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError


def find_alert(alert_id: int) -> AlertRecord:
    """Return an alert; raises RequestError, 404, when there is none of that id.

    Parameters
    ----------
    alert_id : id of the alert.
    """
    alert = current_panel().store.alerts.find(alert_id)
    if alert is None:
        raise RequestError(404, f"{alert_id}: no such alert", "GET /api/alerts lists those that are")
    return alert


def acknowledge_alert(alert_id: int, note: str) -> AlertRecord:
    """Acknowledge an active alert under the name of the user.

    Parameters
    ----------
    alert_id : id of the alert.
    note : for other operators; may be empty.

    Raises
    ------
    RequestError, 404, without such an alert; BadInput, 409, when it has ended or is acknowledged already.
    """
    find_alert(alert_id)
    panel = current_panel()
    alert = panel.store.alerts.acknowledge(alert_id, current_user().label, note)
    panel.forget_overview()
    return alert


def silence_alert(alert_id: int, until: str, reason: str) -> SilenceRecord:
    """Silence the rule of an alert under the name of the user.

    Parameters
    ----------
    alert_id : id of the alert.
    until : time or duration, as `parse_moment` reads it.
    reason : for other operators.

    Raises
    ------
    RequestError, 404, without such an alert; 400 when the time or the reason is wrong.
    """
    return _add(find_alert(alert_id).rule, until, reason, "")


def add_maintenance(until: str, reason: str, since: str = "") -> SilenceRecord:
    """Add a maintenance window under the name of the user.

    Parameters
    ----------
    until, since : time or duration, as `parse_moment` reads it; an empty `since` is now.
    reason : for other operators.

    Raises
    ------
    RequestError, 400, when a time or the reason is wrong.
    """
    return _add(None, until, reason, since)


def end_silence(silence_id: int) -> SilenceRecord:
    """End a silence or a maintenance window under the name of the user.

    Parameters
    ----------
    silence_id : id of the silence or window.

    Raises
    ------
    BadInput, 409, when there is none of that id that lasts.
    """
    panel = current_panel()
    silence = panel.store.silences.end(silence_id, current_user().label)
    panel.forget_overview()
    return silence


def _add(rule: str | None, until: str, reason: str, since: str) -> SilenceRecord:
    panel = current_panel()
    now = panel.store.database.clock()
    try:
        begins_at = parse_moment(since, now) if since else None
        ends_at = parse_moment(until, now if begins_at is None else begins_at)
        silence = panel.store.silences.add(rule, until=ends_at, reason=reason, by=current_user().label, since=begins_at)
    except (ValueError, BadInput) as error:
        raise RequestError(400, str(error), "for example 8h or 2026-02-22T03:04") from None
    panel.forget_overview()
    return silence
