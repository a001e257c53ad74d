"""`/api/streaming/config`: the sixteen keys, read by everybody, changed by operators."""

from dataclasses import dataclass
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import BeforeValidator, Field, RootModel

from contimg.formats.records import Page, about
from contimg.settings import StreamingConfig, shown
from contimg.settings.changes import Change, Review, change, hide_secrets, history, review, undo
from web.access.user import current_user
from web.configuration.service import accepted_keys, apply_change
from web.context import current_panel
from web.http.api import Api
from web.http.parameters import Limit, NumberedListing
from workers.service.records import CommandOutcome

configuration = Api("configuration_api", "/api/streaming/config")


class ConfigChanges(RootModel[Annotated[dict[str, Any], Field(min_length=1)]]):
    """Keys and their new values, at least one: {"max_workers": 4}."""


class OptionalChanges(RootModel[dict[str, Any]]):
    """Keys and their new values, or no body."""

    root: Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)] = {}


class ChangeListing(NumberedListing):
    """Parameters of a page of changes."""

    limit: Limit = Field(100, ge=1, le=500)


@dataclass(frozen=True, kw_only=True)
class ChangeList(Page):
    """Changes of the configuration, the newest first."""

    changes: Annotated[tuple[Change, ...], about("Changes, the newest first")]


@configuration.read("", StreamingConfig)
def read() -> Response:
    """The sixteen keys in force, without passwords.

    Passwords in URLs are replaced by `***`; a key that is sent back as it was read does not change.
    """
    return jsonify(shown(current_panel().config()))


@configuration.command("", CommandOutcome, body=StreamingConfig)
def write(body: ConfigChanges) -> CommandOutcome:
    """Set keys; a running service is restarted with them.

    Keys that are left out keep their values. `queue_db` and `registry_db` name one store: a `registry_db` of its
    own is not used, which the message states. With a wrong key or value nothing is saved (400).
    """
    keys, remark = accepted_keys(body.root)
    if not keys:
        return CommandOutcome(True, f"{remark}nothing was changed")
    outcome = apply_change(lambda: change(current_panel().settings, keys, current_user().label))
    return CommandOutcome(outcome.success, f"{remark}{outcome.message}", outcome.pid)


@configuration.command("/check", Review, body=StreamingConfig, public=True)
def check(body: ConfigChanges) -> Review:
    """Errors and remarks of setting keys; nothing is changed.

    The answer has an error for each key that would be refused, and a remark for each that has a consequence. No
    token is needed.
    """
    return review(current_panel().settings, accepted_keys(body.root)[0])


@configuration.read("/changes", ChangeList)
def changes(query: ChangeListing) -> ChangeList:
    """Changes made from the panel, the API or the command line, with author and time, the newest first.

    Changes made in the file itself are not listed.
    """
    entries = history(current_panel().settings)  # the newest first, so that the cursor counts from the oldest
    start = 0 if query.cursor is None else max(0, len(entries) - query.cursor)
    older = len(entries) - start - query.limit
    return ChangeList(
        changes=tuple(map(hide_secrets, entries[start : start + query.limit])),
        total=len(entries),
        next=str(older) if older > 0 else None,
    )


@configuration.command("/undo", CommandOutcome)
def take_back() -> CommandOutcome:
    """Undo the last change; a running service is restarted.

    A change can be undone while its keys still have the values that it set (409 otherwise); undoing twice undoes
    two changes.
    """
    return apply_change(lambda: undo(current_panel().settings, current_user().label))
