"""Checks before each view: Host header, token or session, role, origin and CSRF token, number of wrong tokens."""

import hmac
import ipaddress
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, redirect, request, url_for
from flask_limiter import Limiter, RateLimitExceeded
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.wrappers import Response as AnyResponse

from contimg.settings import Settings
from contimg.settings.broker import BrokerAddress
from web.access.sessions import Sessions, add_sessions
from web.access.user import Role, User, address
from web.http.errors import RequestError, error_response, is_for_machines
from workers.broker import LAST_RESORT, url_in_force

PUBLIC = {"static", "health.healthz", "panel_health.read_health", "sign_in.form", "sign_in.enter"}
SIGN_IN, SIGN_OUT = "sign_in.enter", "sign_in.leave"
CHANGES_NOTHING = {SIGN_IN, SIGN_OUT, "configuration_api.check"}
SIGN_IN_LIMIT, BEARER_LIMIT = "5 per 5 minutes", "60 per 5 minutes"
_EXTENSION = "contimg.access"
_csrf = CSRFProtect()


@dataclass(frozen=True)
class Access:
    """Tokens, sessions and limits of a panel."""

    settings: Settings
    sessions: Sessions
    limiter: Limiter

    def role_of(self, token: str) -> Role:
        """Return what the holder of a token may do.

        Parameters
        ----------
        token : as the client sent it; it is compared in constant time with the operator's token and the reader's.

        Returns
        -------
        the role; `Role.NONE` for a token that is neither.
        """
        tokens = ((self.settings.token, Role.OPERATOR), (self.settings.view_token, Role.READER))
        for secret, role in tokens:
            if secret and hmac.compare_digest(token.encode(), secret.encode()):
                return role
        return Role.NONE

    @property
    def public_role(self) -> Role:
        """What everybody may do who reaches the address."""
        return Role.NONE if self.settings.view_token else Role.READER


def guard(app: Flask, settings: Settings) -> None:
    """Install the checks; call it when all views are registered.

    Parameters
    ----------
    app : the application; its sign-in view gets a limit of wrong tokens.
    settings : tokens, broker, and directory of the sessions. The limits are counted in the broker if there is one, so
        that all panels of a broker share them, else in memory.

    Raises
    ------
    Misconfigured, when a token is set and the key that signs sessions cannot be read or written.
    """
    app.config.update(WTF_CSRF_CHECK_DEFAULT=False, WTF_CSRF_FIELD_NAME="csrf", WTF_CSRF_TIME_LIMIT=None)
    app.config["WTF_CSRF_SSL_STRICT"] = False  # the origin is checked by `_check_origin`
    sessions = add_sessions(app, settings)
    _csrf.init_app(app)
    broker = url_in_force(settings)
    storage = "memory://" if broker == LAST_RESORT else BrokerAddress.parse(broker).limits_url
    limiter = Limiter(
        address,
        app=app,
        storage_uri=storage,  # shared by all panels of a broker
        storage_options={} if broker == LAST_RESORT else {"socket_connect_timeout": 1, "socket_timeout": 1},
        in_memory_fallback_enabled=True,
        strategy="moving-window",
        application_limits=[BEARER_LIMIT],
        application_limits_exempt_when=lambda: _bearer_token() is None,
        application_limits_deduct_when=lambda _response: "user" in g and g.user.wrong_token,
    )
    limit_sign_in: Any = limiter.limit(SIGN_IN_LIMIT, deduct_when=lambda answer: answer.status_code == 401)
    app.view_functions[SIGN_IN] = limit_sign_in(app.view_functions[SIGN_IN])
    app.extensions[_EXTENSION] = Access(settings, sessions, limiter)
    app.before_request(_check_request)
    app.register_error_handler(RateLimitExceeded, _of_limit)
    app.register_error_handler(CSRFError, _of_csrf)


def access() -> Access:
    """Return the access of the application that serves the request."""
    return cast(Access, current_app.extensions[_EXTENSION])


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Return whether a Host header names this panel, so that no other site's name resolves to it.

    Addresses and names without a dot do: nobody can register them elsewhere. Of the others only this machine's own
    name and the given ones.

    Parameters
    ----------
    host : value of the header, with or without a port.
    names : further names of the panel; case does not matter.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if not name or "." not in name or name.endswith(".localhost"):
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in {further.lower() for further in names} or name == _machine_name()
    return True


@lru_cache(maxsize=1)
def _machine_name() -> str:
    return socket.getfqdn().lower()


def _check_request() -> AnyResponse | None:
    settings = access().settings
    if not is_own_host(request.host, (settings.web_host, *settings.web_names.split())):
        raise RequestError(421, f"{request.host[:80]!r} is not a name of this panel", "add it to CONTIMG_WEB_NAMES")
    if request.endpoint is None:
        return None  # 404 or 405, without looking at a token
    g.user = user = _identify()
    if user.role == Role.NONE and request.endpoint not in PUBLIC:
        if is_for_machines(request.path) or request.method != "GET":
            hint = "send Authorization: Bearer <CONTIMG_VIEW_TOKEN>, or sign in"
            code = "wrong_token" if user.wrong_token else "token_needed"
            raise RequestError(401, "reading needs a token", hint, code=code)
        return redirect(url_for("sign_in.form", next=request.full_path.rstrip("?")))
    if request.method == "POST":
        _check_change(user)
    return None


def _identify() -> User:
    token, open_role = _bearer_token(), access().public_role
    if token is not None:
        role = access().role_of(token)
        is_valid = role > Role.NONE
        return User(max(role, open_role), wrong_token=not is_valid, holds_token=is_valid)
    session = access().sessions.find()
    return User(*session, signed_in=True) if session else User(open_role)


def _bearer_token() -> str | None:
    header = request.authorization
    return header.token if header is not None and header.type == "bearer" else None


def _check_change(user: User) -> None:
    """Raise unless the user may change something, by token or by a form of this panel for the user's session."""
    if request.endpoint not in CHANGES_NOTHING:
        _check_operator(user)
    if request.endpoint == SIGN_OUT and not user.signed_in:
        raise RequestError(403, "you are not signed in", "nothing to do")
    if request.endpoint == SIGN_IN or user.signed_in:
        _check_origin()
    if user.signed_in and request.endpoint not in (SIGN_IN, "configuration_api.check"):
        _csrf.protect()


def _check_operator(user: User) -> None:
    if not access().settings.token:
        raise RequestError(
            403, "changes are switched off: no token is configured", "set CONTIMG_TOKEN and restart the panel",
            code="changes_switched_off",
        )  # fmt: skip
    if user.wrong_token:
        hint = "send the value of CONTIMG_TOKEN that the panel was started with"
        raise RequestError(401, "wrong token", hint, code="wrong_token")
    if user.is_operator:
        return
    if user.signed_in or user.holds_token:
        hint = "sign in with the operator's token, CONTIMG_TOKEN"
        raise RequestError(403, "you may read, not change", hint, code="read_only")
    raise RequestError(401, "no token given", "sign in, or send the header Authorization: Bearer <CONTIMG_TOKEN>")


def _check_origin() -> None:
    """Raise when another site sent the request.

    The browser compares the addresses that it knows (Fetch Metadata); a proxy may have changed the Host header. Over
    plain HTTP it sends only the origin of the page.
    """
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        raise RequestError(403, "another site sent this request", "use the panel's own pages", code="foreign_form")
    if site is None and origin is not None and urlsplit(origin).netloc != request.host:
        error = f"the form of {origin[:80]} was received as one for {request.host[:80]}"
        hint = "use the panel's own pages; behind a reverse proxy pass the Host header on, or set CONTIMG_WEB_PROXIES"
        raise RequestError(403, error, hint, code="foreign_form")


def _of_limit(_error: RateLimitExceeded) -> Response:
    limit = access().limiter.current_limit
    wait_s = max(1, int(limit.reset_at - time.time())) if limit else 300
    return error_response(429, "too many wrong tokens", f"wait {wait_s} s, then try again", wait_s)


def _of_csrf(error: CSRFError) -> Response:
    hint = "reload the page and try again"
    fault = f"this form does not belong to your session: {error.description}"
    return error_response(403, fault, hint, code="foreign_form")
