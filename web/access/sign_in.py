"""Signing in with a token, and signing out."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.common.files.names import printable
from web.access.guard import access
from web.access.user import Role, address
from web.context import current_panel

sign_in = Blueprint("sign_in", __name__)
MAX_NAME_LENGTH = 40


@sign_in.get("/sign-in")
def form() -> str:
    """Show the form."""
    return render_template("sign_in.html", following=_own_path(request.args.get("next", "")), wrong="")


@sign_in.post("/sign-in")
def enter() -> Response:
    """Open a session for the holder of a token."""
    following = _own_path(request.form.get("next", ""))
    name = printable(" ".join(request.form.get("name", "").split()))[:MAX_NAME_LENGTH]
    role, events = access().role_of(request.form.get("token", "")), current_panel().store.events
    if role == Role.NONE:
        events.add(f"sign-in refused: a wrong token from {address()}", level="warning")
        page = render_template("sign_in.html", following=following, wrong="Wrong token.", name=name)
        return make_response(page, 401)
    access().sessions.open(role, name or role.name.lower())
    if role == Role.OPERATOR:
        events.add(f"{name or 'operator'} signed in from {address()}", author=name or "operator")
    return redirect(f"{request.script_root}{following}", 303)


@sign_in.post("/sign-out")
def leave() -> Response:
    """End the session."""
    access().sessions.close()
    return redirect(url_for("streaming.start"), 303)


def _own_path(path: str) -> str:
    """A path of this panel, without its prefix, to go on to; the start page for anything else."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"
