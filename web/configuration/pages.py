"""The configuration page: edit, look at the difference, save; and what was changed before, by whom."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.settings.changes import change, history, last_undoable, review, undo, without_password
from web.access.user import operator_name
from web.configuration.fields import SUBJECTS, fields, given
from web.configuration.service import apply_change
from web.context import current_panel

configuration = Blueprint("configuration", __name__, url_prefix="/configuration")
SHOWN = 30


@configuration.get("")
def edit() -> str:
    """The form with what is in force."""
    return _form({}, {})


@configuration.post("")
def look() -> Response | str:
    """The difference that a form makes, or the form again with what is wrong; saved once it was looked at."""
    settings = current_panel().settings
    known = fields(settings)
    changes = given(request.form, known)
    found = review(settings, changes)
    if found.errors or not changes:
        return _form(changes, found.errors)
    if not request.form.get("confirmed"):
        running = current_panel().service.status().running
        return render_template(
            "configuration/review.html", changes=changes, known=known, remarks=found.remarks, running=running
        )
    done = apply_change(lambda: change(settings, changes, operator_name()))
    flash(f"Configuration {done.message}", "info" if done.success else "warning")
    return redirect(url_for("configuration.edit"), 303)


@configuration.post("/undo")
def take_back() -> Response:
    """Take the last change back."""
    done = apply_change(lambda: undo(current_panel().settings, operator_name()))
    flash(f"Configuration put back: {done.message}", "info" if done.success else "warning")
    return redirect(url_for("configuration.edit"), 303)


def _form(changes: dict[str, object], errors: object) -> str:
    settings = current_panel().settings
    return render_template(
        "configuration/form.html",
        subjects=SUBJECTS,
        known=fields(settings),
        changes=changes,
        errors=errors,
        path=settings.config_path,
        made=history(settings)[:SHOWN],
        last=last_undoable(settings),
        without_password=without_password,
    )
