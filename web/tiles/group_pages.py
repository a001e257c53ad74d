"""The table of groups, and the page of one: what arrived, what was tried, what was made of it."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import mjd_to_unix
from contimg.store import FileState, GroupOrder, GroupRecord, Stage, State
from web.context import current_panel
from web.http.api import json_response
from web.http.errors import wants_json
from web.http.parameters import GroupTable
from web.tiles.chain import Chain
from web.tiles.service import discard_group, find_group, retry_group
from workers.service.records import CommandOutcome

groups = Blueprint("groups", __name__, url_prefix="/groups")
EVENTS = 50


@dataclass(frozen=True)
class Subband:
    """One of the sixteen lamps: its number and what became of its file."""

    number: int
    state: str
    about: str


@groups.get("")
def table() -> str:
    """Groups, filtered and sorted as the address says; the next page begins after the last row of this one."""
    query = GroupTable.model_validate({key: value for key, value in request.args.items() if value})
    since_s, until_s = query.observed_s
    found = current_panel().store.files.groups(
        query.state, query.limit + 1, partial_only=query.partial, since_s=since_s, until_s=until_s,
        order=query.order, ascending=query.ascending, after=query.key,
    )  # fmt: skip
    shown = found[: query.limit]
    return render_template(
        "tiles/groups.html",
        query=query,
        groups=shown,
        following=query.key_of(shown[-1]) if len(found) > query.limit else None,
        states=tuple(State),
        counts=current_panel().overview(8).snapshot.states,
        orders=tuple(GroupOrder),
        expected=BAND.subbands,
    )


@groups.get("/<group>")
def show(group: str) -> str:
    """One group."""
    store = current_panel().store
    record = find_group(group)
    runs, files = store.jobs.runs(group), store.files.of_group(group)
    made, image = store.products.measurement_set(group), store.products.image_of(group)
    return render_template(
        "tiles/group.html",
        group=record,
        chain=Chain.of(record, runs, files, store.database.clock()),
        runs=runs,
        files=files,
        subbands=_subbands(files),
        made=made,
        image=image,
        events=store.events.last(EVENTS, group=group),
        stages=tuple(Stage),
        again=_may_go_again(record),
        from_stages=[one for one in Stage if one == record.stage or one.precedes(record.stage)],
        mjd_to_unix=mjd_to_unix,
        channels=BAND.subbands,
    )


@groups.post("/<group>/retry")
def retry(group: str) -> Response | str:
    """Put it back in the queue."""
    stage = Stage(request.form["stage"]) if request.form.get("stage") in tuple(Stage) else None
    if not request.form.get("confirmed"):
        return _ask(group, "Make it again?", "It goes back to the queue with fresh attempts.", "Retry", "main")
    record = retry_group(group, stage)
    return _done(group, f"it waits for {record.stage}")


@groups.post("/<group>/discard")
def discard(group: str) -> Response | str:
    """Take it out of the stream."""
    if not request.form.get("confirmed"):
        question = "It leaves the stream. Its files stay where they are; a retry brings it back."
        return _ask(group, "Discard this group?", question, "Discard", "grave")
    discard_group(group)
    return _done(group, "discarded; its files stay where they are")


def _ask(group: str, word: str, question: str, button: str, tone: str) -> str:
    kept = {"stage": request.form["stage"]} if request.form.get("stage") else {}
    return render_template(
        "confirm.html", word=word, question=f"{group}: {question}", button=button, tone=tone, action=request.path,
        back=url_for("groups.show", group=group), kept=kept,
    )  # fmt: skip


def _done(group: str, message: str) -> Response:
    if wants_json():
        return json_response(CommandOutcome(True, message))
    flash(f"{group}: {message}")
    return redirect(url_for("groups.show", group=group), 303)


def _may_go_again(group: GroupRecord) -> bool:
    return group.state in (State.FAILED, State.DISCARDED, State.COMPLETED)


def _subbands(files: tuple[Any, ...]) -> tuple[Subband, ...]:
    """Sixteen lamps; of several files for one subband the one that is used."""
    found: dict[int, Any] = {}
    for file in sorted(files, key=lambda one: one.state != FileState.QUARANTINED):
        if file.subband is not None:
            found[file.subband] = file
    return tuple(
        Subband(number, str(found[number].state), found[number].reason or "")
        if number in found
        else Subband(number, "missing", "")
        for number in range(BAND.subbands)
    )
