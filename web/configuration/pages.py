"""The configuration page: edit, review and save the keys, undo the last change, list the changes."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.common.options import mask_value
from contimg.settings.changes import change, history, last_undoable, review, undo
from web.access.user import current_user
from web.configuration.fields import SUBJECTS, list_fields, parse_form
from web.configuration.service import apply_change
from web.context import current_panel

configuration = Blueprint("configuration", __name__, url_prefix="/configuration")
MAX_CHANGES = 30


@configuration.get("")
def edit() -> str:
    """Show the form with the values in force."""
    return _form({}, {})


@configuration.post("")
def save() -> Response | str:
    """Save a form after its review; shows the form again when a value is refused or nothing differs."""
    panel = current_panel()
    fields = list_fields(panel.settings)
    changes = parse_form(request.form, fields)
    reviewed = review(panel.settings, changes)
    if reviewed.errors or not changes:
        return _form(changes, reviewed.errors)
    if not request.form.get("confirmed"):
        return render_template(
            "configuration/review.html", changes=changes, fields=fields, remarks=reviewed.remarks,
            is_running=panel.service.status().running,
        )  # fmt: skip
    outcome = apply_change(lambda: change(panel.settings, changes, current_user().label))
    flash(f"Configuration {outcome.message}", "info" if outcome.success else "warning")
    return redirect(url_for("configuration.edit"), 303)


@configuration.post("/undo")
def undo_last() -> Response:
    """Undo the last change."""
    outcome = apply_change(lambda: undo(current_panel().settings, current_user().label))
    flash(f"Last change undone: {outcome.message}", "info" if outcome.success else "warning")
    return redirect(url_for("configuration.edit"), 303)


def _form(changes: Mapping[str, Any], errors: Mapping[str, str]) -> str:
    settings = current_panel().settings
    return render_template(
        "configuration/form.html",
        subjects=SUBJECTS,
        fields=list_fields(settings),
        changes=changes,
        errors=errors,
        path=settings.config_path,
        saved_changes=history(settings)[:MAX_CHANGES],
        last=last_undoable(settings),
        mask_value=mask_value,
    )
