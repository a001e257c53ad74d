"""What every page has: navigation, clocks, user, and the parameters of its address."""

import time
from typing import Any, TypeVar

from flask import flash, redirect, render_template, request, url_for
from flask_wtf.csrf import generate_csrf
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from contimg.common.errors import ContimgError
from contimg.instrument.dsa110 import LONGITUDE_DEG
from web.access.guard import access
from web.access.user import Role, current_user
from web.context import current_panel
from web.http.api import json_response
from web.http.errors import wants_json
from web.streaming.condition import Condition
from workers.service.records import CommandOutcome

# Endpoint and label of each link of the header; all pages of the endpoint's blueprint belong to it.
NAVIGATION = (
    ("streaming.start", "Stream"),
    ("groups.table", "Groups"),
    ("image_pages.gallery", "Images"),
    ("epoch_pages.calendar", "Epochs"),
    ("campaign_pages.table", "Campaigns"),
    ("night_pages.calendar", "Nights"),
    ("sources.show_plane", "Sources"),
    ("sky.show", "Sky"),
    ("catalogue_pages.show", "Catalogues"),
    ("calibration.show", "Calibration"),
    ("antenna_pages.show", "Antennas"),
    ("history.show", "History"),
    ("archive.show", "Archive"),
    ("alerts.show", "Alerts"),
    ("logs.show", "Logs"),
    ("configuration.edit", "Configuration"),
    ("api_page.show", "API"),
    ("documentation.index", "Help"),
)
Query = TypeVar("Query", bound=BaseModel)


def parse_query(model: type[Query]) -> Query:
    """Check the parameters of the request's address; an empty one counts as absent.

    Parameters
    ----------
    model : the parameters with their limits and defaults.

    Returns
    -------
    an instance of the model.

    Raises
    ------
    pydantic.ValidationError, which is answered with 400, when a value is outside its limits.
    """
    return model.model_validate({key: value for key, value in request.args.items() if value})


def needs_confirmation() -> bool:
    """Whether the request's form has not been confirmed."""
    return not request.form.get("confirmed")


def confirm(title: str, question: str, button: str, tone: str, back: str, **fields: str) -> str:
    """Ask to confirm the request.

    Parameters
    ----------
    title, question, button, tone : heading, text, and the button's label and style.
    back : where Cancel leads.
    fields : form fields that are sent again.
    """
    return render_template(
        "confirm.html", title=title, question=question, button=button, tone=tone, back=back, fields=fields
    )


def report(outcome: CommandOutcome, subject: str, endpoint: str, **values: Any) -> Response:
    """Answer a command: as JSON to scripts; to a form with a redirection to an endpoint, which shows the message.

    Parameters
    ----------
    outcome : whether the command succeeded, and its message.
    subject : put before the message on the page; may be empty.
    endpoint, values : the page to go on to, and the values in its address.
    """
    if wants_json():
        return json_response(outcome)
    flash(f"{subject}: {outcome.message}" if subject else outcome.message, "info" if outcome.success else "warning")
    return redirect(url_for(endpoint, **values), 303)


def read_condition() -> Condition | None:
    """Return the condition of the stream for the headline; None for a user who may not read, or without the store."""
    if max(current_user().role, access().public_role) < Role.READER:  # an unknown address has no user
        return None
    try:
        return current_panel().overview().condition
    except (ContimgError, SQLAlchemyError, OSError):  # the page itself reports it
        return None


def template_names() -> dict[str, Any]:
    """Return the names that every template may use."""
    user = current_user()
    return {
        "now": time.time(),
        "condition": read_condition(),
        "navigation": NAVIGATION,
        "user": user,
        "csrf": generate_csrf() if user.signed_in else "",
        "is_whole_page": not request.headers.get("X-Refresh"),
        "has_operator_token": bool(access().settings.token),
        "can_sign_in": bool(access().settings.token or access().settings.view_token),
        "flower_url": access().settings.flower_url.rstrip("/"),
        "longitude_deg": LONGITUDE_DEG,
    }
