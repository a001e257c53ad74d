"""What every page has around it: the ways to the other pages, the clocks, who looks at it, what was just done."""

import time
from dataclasses import dataclass
from typing import Any

from flask import request
from flask_wtf.csrf import generate_csrf

from contimg.instrument.dsa110 import LONGITUDE_DEG
from web.access.guard import access
from web.access.user import current_user


@dataclass(frozen=True)
class Way:
    """A link of the header: an endpoint of a blueprint whose every page belongs to it."""

    blueprint: str
    endpoint: str
    name: str


WAYS = (
    Way("streaming", "streaming.start", "Stream"),
    Way("groups", "groups.table", "Groups"),
    Way("image_pages", "image_pages.wall", "Images"),
    Way("sky", "sky.show", "Sky"),
    Way("calibration", "calibration.show", "Calibration"),
    Way("history", "history.show", "History"),
    Way("alerts", "alerts.show", "Alerts"),
    Way("logs", "logs.show", "Logs"),
    Way("configuration", "configuration.edit", "Configuration"),
    Way("api_page", "api_page.show", "API"),
)


def shared() -> dict[str, Any]:
    """The names that every template knows."""
    user = current_user()
    return {
        "now": time.time(),
        "ways": WAYS,
        "here": request.blueprint,
        "user": user,
        "csrf": generate_csrf() if user.signed_in else "",
        "is_whole_page": not request.headers.get("X-Refresh"),
        "can_sign_in": bool(access().settings.token or access().settings.view_token),
        "flower_url": access().settings.flower_url.rstrip("/"),
        "longitude_deg": LONGITUDE_DEG,
    }
