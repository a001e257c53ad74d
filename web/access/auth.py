"""Who may change something: the operator, by token or signed in, and then only from the panel's own pages."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import request

from web.access import current_user
from web.access.guard import access
from web.access.sessions import Session
from web.http.errors import RequestError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
CSRF_FIELD, CSRF_HEADER = "csrf", "X-CSRF-Token"


def operator_only(view: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let a view run only for `Authorization: Bearer <token>`, or for an operator's session with its CSRF secret."""

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        settings, asker = access().settings, current_user()
        if not settings.token:
            raise RequestError(
                403, "changes are switched off: no token is configured", "set CONTIMG_TOKEN and restart the panel"
            )
        if asker.wrong_token:
            raise RequestError(401, "wrong token", "send the value of CONTIMG_TOKEN that the panel was started with")
        if not asker.is_operator:
            if asker.session or asker.holds_token:
                raise RequestError(403, "you may read, not change", "sign in with the operator's token, CONTIMG_TOKEN")
            raise RequestError(
                401, "no token given", "sign in, or send the header Authorization: Bearer <CONTIMG_TOKEN>"
            )
        if asker.session is not None:
            check_form(asker.session)
        return view(*args, **kwargs)

    return guarded


def check_form(session: Session) -> None:
    """RequestError unless the request comes from a page of this panel that was made for this session."""
    check_origin()
    given = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD) or ""
    if not hmac.compare_digest(given.encode(), session.csrf.encode()):
        raise RequestError(403, "this form was not made for your session", "load the page anew and try again")


def check_origin() -> None:
    """RequestError when a browser says that another site sends the request."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign or site not in (None, "same-origin", "none"):
        raise RequestError(403, "another site sent this request", "use the panel's own pages")


def operator_name() -> str:
    """How the event log names who query."""
    return current_user().called
