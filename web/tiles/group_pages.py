"""The table of groups, and the page of one group: its files, attempts, products and events."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.instrument.dsa110 import BAND
from contimg.store import FileRecord, FileState, Stage, State
from web.context import current_panel
from web.http.parameters import GroupTable
from web.pages.layout import confirm, needs_confirmation, parse_query, report
from web.tiles.service import discard_group, find_group, retry_group
from web.tiles.timeline import Timeline
from workers.service.records import CommandOutcome

groups = Blueprint("groups", __name__, url_prefix="/groups")
MAX_EVENTS = 50
RETRYABLE = (State.FAILED, State.DISCARDED, State.COMPLETED)


@dataclass(frozen=True)
class SubbandState:
    """A subband's number, the state of its file, and the reason of that state."""

    number: int
    state: str = "missing"
    reason: str = ""


@groups.get("")
def table() -> str:
    """Show a page of the table; the next page begins after the last row of this one."""
    query, panel = parse_query(GroupTable), current_panel()
    since_s, until_s = query.observed_s
    groups = panel.store.files.groups(
        query.state, query.limit + 1, partial_only=query.partial, since_s=since_s, until_s=until_s,
        order=query.order, ascending=query.ascending, after=query.key,
    )  # fmt: skip
    shown = groups[: query.limit]
    return render_template(
        "tiles/groups.html",
        query=query,
        groups=shown,
        next_key=query.key_of(shown[-1]) if len(groups) > query.limit else None,
        states=tuple(State),
        counts=panel.overview(8).snapshot.states,
        expected=BAND.subbands,
    )


@groups.get("/<group>")
def show(group: str) -> str:
    """Show a group."""
    store, record = current_panel().store, find_group(group)
    runs, files = store.jobs.runs(group), store.files.of_group(group)
    return render_template(
        "tiles/group.html",
        group=record,
        timeline=Timeline.draw(record, runs, files, store.database.clock()),
        runs=runs,
        files=files,
        subbands=_subband_states(files),
        ms=store.products.measurement_set(group),
        image=store.products.image_of(group),
        events=store.events.last(MAX_EVENTS, group=group),
        retryable=record.state in RETRYABLE,
        retry_stages=[stage for stage in Stage if stage == record.stage or stage.precedes(record.stage)],
    )


@groups.post("/<group>/retry")
def retry(group: str) -> Response | str:
    """Put the group back in the queue, after confirmation."""
    stage = Stage(request.form["stage"]) if request.form.get("stage") in tuple(Stage) else None
    if needs_confirmation():
        return _confirm(group, "Retry", "It returns to the queue with no attempt used.", "main", stage=stage or "")
    job = retry_group(group, stage)
    return report(CommandOutcome(True, f"pending for {job.stage}"), group, "groups.show", group=group)


@groups.post("/<group>/discard")
def discard(group: str) -> Response | str:
    """Take the group out of the stream, after confirmation."""
    if needs_confirmation():
        return _confirm(group, "Discard", "It leaves the stream. Its files are kept; retry returns it.", "grave")
    discard_group(group)
    return report(CommandOutcome(True, "discarded; its files are kept"), group, "groups.show", group=group)


def _confirm(group: str, button: str, question: str, tone: str, **fields: str) -> str:
    back = url_for("groups.show", group=group)
    return confirm(f"{button} this group?", f"{group}: {question}", button, tone, back, **fields)


def _subband_states(files: Sequence[FileRecord]) -> tuple[SubbandState, ...]:
    """Return the state of every subband; of several files of one subband, that of the file in use."""
    states = {number: SubbandState(number) for number in range(BAND.subbands)}
    for file in sorted(files, key=lambda file: file.state != FileState.QUARANTINED):
        if file.subband is not None:
            states[file.subband] = SubbandState(file.subband, str(file.state), file.reason or "")
    return tuple(states[number] for number in range(BAND.subbands))
