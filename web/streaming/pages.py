"""The start page: state, queue, pace, newest images, what is under way, what needs a person, what happens."""

import os
from collections import Counter
from dataclasses import dataclass

import psutil
from flask import Blueprint, render_template, request
from markupsafe import Markup

from contimg.errors import Misconfigured
from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.instrument.time import mjd_to_unix
from contimg.settings import DiskLimits, StreamingConfig
from contimg.store import GroupRecord, Running, Stage, State, StreamActivity
from contimg.units import format_duration
from web.access.user import current_user
from web.activity.history import Disk, disks
from web.context import StreamOverview, current_panel
from web.streaming.chart import Segment, segments
from web.streaming.command_pages import offered
from workers.inspection import Inspection, Worker
from workers.service.records import read_record

streaming = Blueprint("streaming", __name__)

IMAGES, UNDER_WAY, COMPLAINTS, EVENTS = 8, 6, 6, 20


@dataclass(frozen=True)
class UnderWay:
    """A group on its way: `running` while a worker has it."""

    group: GroupRecord
    running: Running | None


@streaming.get("/", endpoint="start")
@streaming.get("/streaming", endpoint="show")
def show() -> str:
    """The page; those who have not signed in all see the same."""
    if not current_user().signed_in:
        return current_panel().shared(("start page", current_user().role, request.path), _render)
    return _render()


def _render() -> str:
    """The page of one visitor: his buttons, and the rest that all share."""
    overview = current_panel().overview(IMAGES)
    newest_event, rest = current_panel().shared("start page, the rest", _rest)
    return render_template(
        "streaming/page.html",
        overview=overview,
        buttons=offered(overview.service.running, overview.snapshot.paused),
        machine=_machine(),
        newest_event=newest_event,
        rest=rest,
    )


def _rest() -> tuple[int, Markup]:
    """What is the same for everybody, and the id of the newest event in it."""
    panel = current_panel()
    overview, events = panel.overview(IMAGES), panel.store.events.last(EVENTS)
    rest = render_template(
        "streaming/sections.html",
        overview=overview,
        snapshot=overview.snapshot,
        config=_config(),
        busy=Counter(one.stage for one in overview.snapshot.running),
        watermarks=watermarks(),
        workers_of=_workers_of,
        backlog_words=_backlog_words,
        budget=_budget(overview),
        disks=_disks(),
        processes=_processes(),
        cadence_s=CADENCE_S,
        under_way=_under_way(overview),
        events=events,
        complaints=COMPLAINTS,
        subbands=BAND.subbands,
        stages=tuple(Stage),
        mjd_to_unix=mjd_to_unix,
    )
    return events[0].id if events else 0, Markup(rest)  # noqa: S704 (a template's own, escaped there)


def _config() -> StreamingConfig | None:
    try:
        return current_panel().config()
    except Misconfigured:
        return None  # the condition says what is wrong


def _machine() -> dict[str, float]:
    """What the bars are full at: CPU in per cent of one core, memory in MB."""
    return {"cpu_percent": 100.0 * (os.cpu_count() or 1), "memory_mb": psutil.virtual_memory().total / 1024**2}


def _disks() -> tuple[Disk, ...]:
    config = _config()
    return disks(config) if config else ()


def watermarks() -> DiskLimits:
    """At what levels of a disk the stream pauses and goes on; the defaults when what is set makes no sense."""
    try:
        return DiskLimits.from_environment()
    except Misconfigured:
        return DiskLimits()


def _workers_of(seen: Inspection, stage: Stage) -> list[Worker]:
    return [one for one in seen.workers if str(stage) in one.queues]


def _backlog_words(pulse: StreamActivity) -> str:
    """How long the groups that are ready will wait, at the pace of the last quarter of an hour."""
    if not pulse.waiting:
        return "nothing waits"
    if pulse.catch_up_s is not None:
        return f"caught up in about {format_duration(pulse.catch_up_s)}"
    since = "" if pulse.waiting_since is None else f"the oldest for {format_duration(pulse.at - pulse.waiting_since)}"
    return f"{since}, not shrinking" if pulse.waiting > len(Stage) else since


def _processes() -> list[tuple[str, int, int]]:
    """The children of the supervisor on this machine: name, pid, how often each was started again."""
    record = read_record(current_panel().settings.state_dir)
    return (
        [(name, pid, record.restarts.get(name, 0)) for name, pid in sorted(record.children.items())] if record else []
    )


def _budget(overview: StreamOverview) -> tuple[Segment, ...]:
    """How the stages share the time between two tiles."""
    seconds = overview.snapshot.rates.stage_seconds
    return segments([(str(stage), seconds[stage]) for stage in Stage if stage in seconds], CADENCE_S)


def _under_way(overview: StreamOverview) -> tuple[UnderWay, ...]:
    """Groups in the workers' hands first, then those that wait, then those that collect."""
    files = current_panel().store.files
    runs = {one.group: one for one in overview.snapshot.running}
    states = (State.IN_PROGRESS, State.PENDING, State.COLLECTING)
    return tuple(UnderWay(group, runs.get(group.id)) for state in states for group in files.groups(state, UNDER_WAY))
