"""What is asked of every request before its view runs: is it meant for us, who sends it, may that one read."""

import hmac
from dataclasses import dataclass, field
from typing import cast

from flask import Flask, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response

from contimg.settings import Settings
from web.access.hosts import is_ours
from web.access.limits import Limit
from web.access.sessions import Sessions
from web.access.user import Role, User
from web.http.errors import RequestError, is_for_machines

COOKIE = "contimg_session"
OPEN = {"static", "health.healthz", "sign_in.form", "sign_in.enter"}
SIGN_IN_FAILURES, BEARER_FAILURES = 5, 60
_EXTENSION = "contimg.access"


@dataclass(frozen=True)
class Access:
    """The tokens of a panel, its sessions, and its patience with guesses."""

    settings: Settings
    sessions: Sessions = field(default_factory=Sessions)
    sign_ins: Limit = field(default_factory=lambda: Limit(SIGN_IN_FAILURES))
    bearers: Limit = field(default_factory=lambda: Limit(BEARER_FAILURES))

    def role_of(self, token: str) -> Role:
        """What the holder of a token may do."""
        known = ((self.settings.token, Role.OPERATOR), (self.settings.view_token, Role.READER))
        for secret, role in known:
            if secret and hmac.compare_digest(token.encode(), secret.encode()):
                return role
        return Role.NOBODY

    @property
    def role_of_all(self) -> Role:
        """What anybody may do who reaches the address."""
        return Role.NOBODY if self.settings.view_token else Role.READER


def guard(app: Flask, settings: Settings) -> None:
    """Ask it of every request."""
    app.extensions[_EXTENSION] = Access(settings)
    app.before_request(_admit)


def access() -> Access:
    """The access of the application that serves the request."""
    return cast(Access, current_app.extensions[_EXTENSION])


def address() -> str:
    """Where the request comes from."""
    return request.remote_addr or "unknown address"


def refuse_when_guessing(limit: Limit) -> None:
    """RequestError when too many wrong tokens have come from this address."""
    wait_s = limit.wait_s(address())
    if wait_s > 0:
        raise RequestError(429, "too many wrong tokens", f"wait {wait_s:.0f} s, then try again", retry_after_s=wait_s)


def _admit() -> Response | None:
    panel = access()
    if not is_ours(request.host, (panel.settings.web_host, *panel.settings.web_names.split())):
        raise RequestError(421, f"{request.host[:80]!r} is no name of this panel", "add it to CONTIMG_WEB_NAMES")
    g.user = user = _identify(panel)
    if user.role > Role.NOBODY or request.endpoint in OPEN:
        return None
    if is_for_machines(request.path) or request.method != "GET":
        raise RequestError(
            401, "reading needs a token here", "send Authorization: Bearer <CONTIMG_VIEW_TOKEN>, or sign in"
        )
    return redirect(url_for("sign_in.form", next=request.full_path.rstrip("?")))


def _identify(panel: Access) -> User:
    given = request.authorization
    if given is not None and given.type == "bearer" and given.token is not None:
        refuse_when_guessing(panel.bearers)
        role = panel.role_of(given.token)
        if role == Role.NOBODY:
            panel.bearers.failed(address())
        known = role > Role.NOBODY
        return User(max(role, panel.role_of_all), wrong_token=not known, holds_token=known)
    session = panel.sessions.find(request.cookies.get(COOKIE))
    if session is not None:
        return User(session.role, session.name, session)
    return User(panel.role_of_all)
