"""What every page has: navigation, clocks, user, and the parameters of its address."""

import time
from typing import Any, TypeVar

from flask import request
from flask_wtf.csrf import generate_csrf
from pydantic import BaseModel

from contimg.instrument.dsa110 import LONGITUDE_DEG
from web.access.guard import access
from web.access.user import current_user

# Endpoint and label of each link of the header; all pages of the endpoint's blueprint belong to it.
NAVIGATION = (
    ("streaming.start", "Stream"),
    ("groups.table", "Groups"),
    ("image_pages.gallery", "Images"),
    ("sky.show", "Sky"),
    ("calibration.show", "Calibration"),
    ("history.show", "History"),
    ("alerts.show", "Alerts"),
    ("logs.show", "Logs"),
    ("configuration.edit", "Configuration"),
    ("api_page.show", "API"),
)
Query = TypeVar("Query", bound=BaseModel)


def parse_query(model: type[Query]) -> Query:
    """Check the parameters of the request's address; an empty one counts as absent."""
    return model.model_validate({key: value for key, value in request.args.items() if value})


def template_names() -> dict[str, Any]:
    """Return the names that every template may use."""
    user = current_user()
    return {
        "now": time.time(),
        "navigation": NAVIGATION,
        "user": user,
        "csrf": generate_csrf() if user.signed_in else "",
        "is_whole_page": not request.headers.get("X-Refresh"),
        "can_sign_in": bool(access().settings.token or access().settings.view_token),
        "flower_url": access().settings.flower_url.rstrip("/"),
        "longitude_deg": LONGITUDE_DEG,
    }
