"""Names that every template uses: navigation, time, user, CSRF token."""

import time
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_wtf.csrf import generate_csrf

from contimg.instrument.dsa110 import LONGITUDE_DEG
from web.access.guard import access
from web.access.user import current_user


@dataclass(frozen=True)
class NavigationLink:
    """A link of the header to an endpoint; it is the current one on every page of its blueprint."""

    blueprint: str
    endpoint: str
    name: str


NAVIGATION = (
    NavigationLink("streaming", "streaming.start", "Stream"),
    NavigationLink("groups", "groups.table", "Groups"),
    NavigationLink("image_pages", "image_pages.wall", "Images"),
    NavigationLink("sky", "sky.show", "Sky"),
    NavigationLink("calibration", "calibration.show", "Calibration"),
    NavigationLink("history", "history.show", "History"),
    NavigationLink("alerts", "alerts.show", "Alerts"),
    NavigationLink("logs", "logs.show", "Logs"),
    NavigationLink("configuration", "configuration.edit", "Configuration"),
    NavigationLink("api_page", "api_page.show", "API"),
)


def template_names() -> dict[str, Any]:
    """Return the names that every template uses."""
    user = current_user()
    return {
        "now": time.time(),
        "navigation": NAVIGATION,
        "blueprint": request.blueprint,
        "user": user,
        "csrf": generate_csrf() if user.signed_in else "",
        "is_whole_page": not request.headers.get("X-Refresh"),
        "can_sign_in": bool(access().settings.token or access().settings.view_token),
        "flower_url": access().settings.flower_url.rstrip("/"),
        "longitude_deg": LONGITUDE_DEG,
    }
