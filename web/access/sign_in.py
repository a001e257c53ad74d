"""Signing in with a token, and out again."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from web.access import Role, current_user
from web.access.auth import check_form, check_origin
from web.access.guard import COOKIE, access, address, refuse_when_guessing
from web.access.sessions import LIFETIME_S
from web.context import current_panel
from web.http.errors import RequestError

sign_in = Blueprint("sign_in", __name__)
LONGEST_NAME = 40


@sign_in.get("/sign-in")
def form() -> str:
    """The form."""
    return render_template("sign_in.html", following=_safe(request.args.get("next", "")), wrong="")


@sign_in.post("/sign-in")
def enter() -> Response:
    """Begin a session for the holder of a token."""
    check_origin()
    panel = access()
    refuse_when_guessing(panel.sign_ins)
    following = _safe(request.form.get("next", ""))
    name = " ".join(request.form.get("name", "").split())[:LONGEST_NAME]
    role = panel.role_of(request.form.get("token", ""))
    if role == Role.NOBODY:
        panel.sign_ins.failed(address())
        current_panel().store.events.add(f"sign-in refused: a wrong token from {address()}", level="warning")
        page = render_template("sign_in.html", following=following, wrong="That is not the token.", name=name)
        return make_response(page, 401)
    session_id = panel.sessions.begin(role, name or ("operator" if role == Role.OPERATOR else "reader"))
    if role == Role.OPERATOR:
        current_panel().store.events.add(f"{name or 'operator'} signed in from {address()}")
    answer = redirect(following, 303)
    answer.set_cookie(
        COOKIE, session_id, max_age=int(LIFETIME_S), httponly=True, samesite="Strict", secure=request.is_secure
    )
    return answer


@sign_in.post("/sign-out")
def leave() -> Response:
    """End the session."""
    session = current_user().session
    if session is None:
        raise RequestError(403, "you are not signed in", "nothing is to be done")
    check_form(session)
    access().sessions.end(request.cookies.get(COOKIE))
    answer = redirect(url_for("streaming.start"), 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="Strict")
    return answer


def _safe(path: str) -> str:
    """A path of this panel to go on to; anything else becomes the start page."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else url_for("streaming.start")
