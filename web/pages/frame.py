"""What every page has around it: the ways to the other pages, the clocks, who looks at it, what was just done."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import request

from contimg.instrument.dsa110 import LONGITUDE_DEG
from web.access import current_user
from web.access.guard import access
from web.access.user import User


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
    asker = current_user()
    return {
        "now": time.time(),
        "ways": WAYS,
        "here": request.blueprint,
        "user": asker,
        "csrf": asker.session.csrf if asker.session else "",
        "notes": partial(_notes, asker),
        "can_sign_in": bool(access().settings.token or access().settings.view_token),
        "flower_url": access().settings.flower_url.rstrip("/"),
        "longitude_deg": LONGITUDE_DEG,
    }


def tell(text: str, level: str = "info") -> None:
    """Have the next page say something to whoever has signed in."""
    session = current_user().session
    if session is not None:
        session.notes.append((level, text))


def _notes(asker: User) -> list[tuple[str, str]]:
    """What is to be said; only a whole page says it, a piece of one must not take it away."""
    if asker.session is None or request.headers.get("X-Refresh"):
        return []
    told, asker.session.notes[:] = list(asker.session.notes), []
    return told
