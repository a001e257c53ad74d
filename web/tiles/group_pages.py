"""The table of groups, and the page of one group: its files, attempts, products and events."""

from collections.abc import Sequence
from contextlib import suppress

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from contimg.common.errors import BadInput
from contimg.common.units import parse_time_span
from contimg.instrument.dsa110 import BAND
from contimg.store import FileRecord, FileState, GroupFilter, GroupRecord, Stage, State
from web.context import current_panel
from web.http.errors import RequestError
from web.http.parameters import GroupTable
from web.pages.layout import confirm, needs_confirmation, parse_query, report
from web.tiles.flags import FlagSummary, read_flag_summary
from web.tiles.service import discard_group, find_group, read_detail, retry_group
from web.tiles.timeline import Timeline
from workers.service.records import CommandOutcome

groups = Blueprint("groups", __name__, url_prefix="/groups")
RETRYABLE = (State.FAILED, State.DISCARDED, State.COMPLETED)


@groups.get("")
def table() -> str:
    """Show a page of the table; the next page begins after the last row of this one."""
    query, panel = parse_query(GroupTable), current_panel()
    since_s, until_s = parse_time_span(query.observed)
    conditions = GroupFilter(state=query.state, since_s=since_s, until_s=until_s, partial=query.partial or None)
    groups = panel.store.files.find_groups(
        conditions, query.limit + 1, order=query.order, ascending=query.ascending, after=query.after
    )
    shown = groups[: query.limit]
    return render_template(
        "tiles/groups.html",
        query=query,
        groups=shown,
        next_key=query.key_of(shown[-1]) if len(groups) > query.limit else None,
        states=tuple(State),
        counts=panel.overview().snapshot.states,
        expected=BAND.subbands,
    )


@groups.get("/<group>")
def show(group: str) -> str:
    """Show a group."""
    detail, store = read_detail(group), current_panel().store
    mosaics = store.mosaics.list_mosaics(image_id=detail.image.id).mosaics if detail.image else ()
    return render_template(
        "tiles/group.html",
        group=detail,
        mosaics=mosaics,
        flags=_flags(group),
        timeline=Timeline.draw(detail, detail.runs, detail.files, store.database.clock()),
        subbands=_file_of_each_subband(detail.files),
        retryable=detail.state in RETRYABLE,
        missing=[number for number in range(BAND.subbands) if number not in detail.subbands],
        retry_question=_retry_question(detail),
        is_incomplete=_is_incomplete(detail),
        retry_stages=[stage for stage in Stage if stage == detail.stage or stage.precedes(detail.stage)],
    )


@groups.post("/<group>/retry")
def retry(group: str) -> Response | str:
    """Put the group back in the queue, after confirmation."""
    stage = Stage(request.form["stage"]) if request.form.get("stage") in tuple(Stage) else None
    if needs_confirmation():
        detail = find_group(group)
        fields = {"force": "1"} if _is_incomplete(detail) else {}
        return _confirm(group, "Retry", _retry_question(detail), "main", stage=stage or "", **fields)
    job = retry_group(group, stage, force=bool(request.form.get("force")))
    return report(CommandOutcome(True, f"pending for {job.stage}"), group, "groups.show", group=group)


@groups.post("/<group>/discard")
def discard(group: str) -> Response | str:
    """Take the group out of the stream, after confirmation."""
    if needs_confirmation():
        return _confirm(group, "Discard", "It leaves the stream. Its files are kept; retry returns it.", "grave")
    discard_group(group)
    return report(CommandOutcome(True, "discarded; its files are kept"), group, "groups.show", group=group)


def _flags(group: str) -> FlagSummary | None:
    """Return the flag summary; None before the calibration, and where its file is gone or cannot be read."""
    with suppress(RequestError, BadInput):
        return read_flag_summary(group)
    return None


def _is_incomplete(group: GroupRecord) -> bool:
    """Whether a group has fewer subbands than a conversion needs."""
    return len(group.subbands) < current_panel().store.database.rules.min_subbands


def _retry_question(group: GroupRecord) -> str:
    if not _is_incomplete(group):
        return "It returns to the queue with no attempt used."
    minimum = current_panel().store.database.rules.min_subbands
    return (
        f"Only {len(group.subbands)} of {BAND.subbands} subbands are there (minimum {minimum}): the image would lack "
        "a part of the band and be graded accordingly. Retry with the files there are?"
    )


def _confirm(group: str, button: str, question: str, tone: str, **fields: str) -> str:
    back = url_for("groups.show", group=group)
    return confirm(f"{button} this group?", f"{group}: {question}", button, tone, back, **fields)


def _file_of_each_subband(files: Sequence[FileRecord]) -> list[FileRecord | None]:
    """Return the file of every subband, of several that in use; None for a missing one."""
    by_subband = {file.subband: file for file in sorted(files, key=lambda file: file.state != FileState.QUARANTINED)}
    return [by_subband.get(number) for number in range(BAND.subbands)]
