"""The stream's page: condition, queue, rates, newest images, groups in progress, problems and events; its commands."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate

import psutil
from flask import Blueprint, render_template, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from contimg.common.errors import Misconfigured
from contimg.common.units import format_duration
from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.settings import DiskLimits
from contimg.store import TILE, GroupRecord, Running, Stage, State, StreamActivity
from contimg.store.activity.remedies import ALERTS
from web.access.user import current_user
from web.activity.history import disks
from web.context import StreamOverview, current_panel
from web.http.errors import RequestError
from web.pages.layout import confirm, needs_confirmation, report
from web.streaming.attention import ACTIONS, act, find_reason
from web.streaming.commands import run_command
from workers.inspection import Inspection, Worker
from workers.service.records import Action, read_record

streaming = Blueprint("streaming", __name__)
MAX_IN_PROGRESS, MAX_EVENTS = 6, 20


@dataclass(frozen=True)
class Segment:
    """A part of a bar of length 100: its name, its value, its start and its width."""

    name: str
    value: float
    start: float
    width: float


@dataclass(frozen=True)
class Command:
    """A button: its label, the question that is to be confirmed (none for a harmless command), and its style.

    `refusal` is why the command cannot be given now; the button is disabled then.
    """

    name: Action
    label: str
    question: str = ""
    tone: str = ""
    refusal: str = ""


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command("pause", "Pause", "Running stages finish. No further stage starts until the stream is resumed."),
        Command("resume", "Resume", tone="main"),
        Command("start", "Start", tone="main"),
        Command("restart", "Restart", "The stream stops after the running stages and starts with the present "
                "configuration. No file and no group is lost."),
        Command("stop", "Stop", "The stream stops after the running stages. New files stay on disk until the next "
                "start.", "grave"),
    )
}  # fmt: skip


@streaming.get("/", endpoint="start")
@streaming.get("/streaming", endpoint="show")
def show() -> str:
    """Show the stream; users who have not signed in share one rendering."""
    if not current_user().signed_in:
        return current_panel().shared(("start page", current_user().role, request.script_root, request.path), _render)
    return _render()


@streaming.get("/headline")
def headline() -> str:
    """Show the headline alone, which open pages read every few seconds."""
    return render_template("headline.html", condition=current_panel().overview().condition)


@streaming.post("/attention/<key>/<action>")
def attend(key: str, action: str) -> Response | str:
    """Retry, discard or acknowledge a reason; retry and discard after confirmation."""
    if action not in ACTIONS:
        raise RequestError(404, f"{action[:40]}: no such action", f"the actions are {', '.join(ACTIONS)}")
    force = bool(request.form.get("force"))
    if action != "acknowledge" and needs_confirmation():
        item = find_reason(key)
        question = f"{item.label}. {request.form.get('question', '')[:200]}"
        fields = {"force": "1"} if force else {}
        tone = "grave" if action == "discard" else "main"
        return confirm(
            f"{action.capitalize()}?", question, action.capitalize(), tone, url_for("streaming.start"), **fields
        )
    return report(act(key, action, force=force), action.capitalize(), "streaming.start")


@streaming.post("/streaming/<name>")
def run(name: str) -> Response | str:
    """Run a command, after confirmation if it has a question."""
    command = COMMANDS.get(name)
    if command is None:
        raise RequestError(404, f"{name[:40]}: no such command", f"the commands are {', '.join(COMMANDS)}")
    if command.question and needs_confirmation():
        title = f"{command.label} the stream?"
        return confirm(title, command.question, command.label, command.tone, url_for("streaming.start"))
    return report(run_command(command.name), command.label, "streaming.start")


def _render() -> str:
    """Render the page: the part with the user's buttons, and the sections that all users share."""
    overview = current_panel().overview()
    queue, sections = current_panel().shared(("sections", request.script_root), _render_sections)
    nights = current_panel().store.nights
    return render_template(
        "streaming/page.html",
        overview=overview,
        buttons=_offered_commands(overview),
        machine={"cpu_percent": 100.0 * (os.cpu_count() or 1), "memory_mb": psutil.virtual_memory().total / 1024**2},
        queue=queue,
        sections=sections,
        min_subbands=current_panel().store.database.rules.min_subbands,
        remedies=ALERTS,
        nights={"newest_day": nights.newest_day(), "reported": nights.newest_report()},
    )


def _render_sections() -> tuple[Markup, Markup]:
    """Render the counts by state, and the sections below them that are the same for every user."""
    panel = current_panel()
    overview = panel.overview()
    config, seconds = panel.valid_config(), overview.snapshot.rates.stage_seconds
    values = dict(
        overview=overview,
        snapshot=overview.snapshot,
        config=config,
        running=Counter(running.stage for running in overview.snapshot.running),
        disk_limits=_disk_limits(),
        workers_of=_workers_of,
        backlog_note=_backlog_note(overview.activity),
        budget=place_segments([(str(stage), seconds[stage]) for stage in Stage if stage in seconds], CADENCE_S),
        disks=disks(config),
        processes=_processes(),
        cadence_s=CADENCE_S,
        in_progress=_in_progress(overview),
        events=panel.store.events.last(MAX_EVENTS),
        subbands=config.expected_subbands if config else BAND.subbands,
        stages=TILE.stages,
    )
    queue, sections = (render_template(f"streaming/{name}.html", **values) for name in ("queue", "sections"))
    return Markup(queue), Markup(sections)  # noqa: S704 (rendered and escaped by the templates)


def place_segments(parts: Sequence[tuple[str, float]], total: float) -> tuple[Segment, ...]:
    """Place parts end to end on a bar.

    Parameters
    ----------
    parts : name and value of each.
    total : value of the whole bar; the sum of the parts if that is greater.
    """
    scale = 100.0 / max(total, sum(value for _, value in parts), 1e-9)
    starts = accumulate((value for _, value in parts), initial=0.0)
    return tuple(
        Segment(name, value, start * scale, value * scale) for (name, value), start in zip(parts, starts, strict=False)
    )


def _offered_commands(overview: StreamOverview) -> tuple[Command, ...]:
    names: tuple[str, ...] = ("start",)
    if overview.service.running:
        names = ("resume" if overview.snapshot.paused else "pause", "restart", "stop")
    pause = overview.disk_pause
    refusals = {"resume": pause.reason} if pause is not None and pause.is_too_full else {}
    return tuple(replace(COMMANDS[name], refusal=refusals.get(name, "")) for name in names)


def _disk_limits() -> DiskLimits:
    with suppress(Misconfigured):
        return DiskLimits.from_environment()
    return DiskLimits()


def _workers_of(inspection: Inspection, stage: Stage) -> list[Worker]:
    return [worker for worker in inspection.workers if str(stage) in worker.queues]


def _backlog_note(activity: StreamActivity) -> str:
    """Describe how long the backlog takes at the rate of the last 15 minutes."""
    if not activity.waiting:
        return "no pending group"
    if activity.catch_up_s is not None:
        return f"caught up in about {format_duration(activity.catch_up_s)}"
    age = ""
    if activity.waiting_since is not None:
        age = f"oldest pending for {format_duration(activity.at - activity.waiting_since)}"
    return f"{age}, not shrinking" if activity.waiting > len(TILE.stages) else age


def _processes() -> list[tuple[str, int, int]]:
    """List the supervisor's child processes on this machine: name, pid, number of restarts."""
    record = read_record(current_panel().settings.state_dir)
    if record is None:
        return []
    return [(name, pid, record.restarts.get(name, 0)) for name, pid in sorted(record.children.items())]


def _in_progress(overview: StreamOverview) -> list[tuple[GroupRecord, Running | None]]:
    """List unfinished groups with their running stage: those that have one first, then pending, then collecting."""
    files = current_panel().store.files
    runs = {running.group: running for running in overview.snapshot.running}
    return [
        (group, runs.get(group.id))
        for state in (State.IN_PROGRESS, State.PENDING, State.COLLECTING)
        for group in files.groups(state, MAX_IN_PROGRESS)
    ]
