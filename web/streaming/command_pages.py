"""The buttons of the stream: start, stop, restart, pause, resume, each with its consequence said before."""

from dataclasses import dataclass

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from web.http.api import json_response
from web.http.errors import RequestError, wants_json
from web.streaming.commands import run_command

commands = Blueprint("commands", __name__)


@dataclass(frozen=True)
class Command:
    """A button: its word, the question asked before (none for what harms nothing), and how it looks."""

    name: str
    word: str
    question: str = ""
    tone: str = ""


COMMANDS = {
    one.name: one
    for one in (
        Command("pause", "Pause", "Stages under way end as usual; none begins until somebody resumes the stream."),
        Command("resume", "Resume", tone="main"),
        Command("start", "Start", tone="main"),
        Command("restart", "Restart", "The stream stops after the stages under way and starts with the configuration "
                "as it stands now. No file and no group is lost."),
        Command("stop", "Stop", "The stream stops after the stages under way. New files wait on disk until it is "
                "started again.", "grave"),
    )
}  # fmt: skip


def offered(running: bool, paused: bool) -> tuple[Command, ...]:
    """The buttons that make sense now."""
    names = ("resume" if paused else "pause", "restart", "stop") if running else ("start",)
    return tuple(COMMANDS[name] for name in names)


@commands.post("/streaming/<name>")
def give(name: str) -> Response | str:
    """Carry a command out; ask first when it wants a question and none was answered."""
    command = COMMANDS.get(name)
    if command is None:
        raise RequestError(404, f"{name[:40]}: no such command", f"there are {', '.join(COMMANDS)}")
    if command.question and not request.form.get("confirmed"):
        return render_template(
            "confirm.html", word=f"{command.word} the stream?", question=command.question, button=command.word,
            tone=command.tone, action=request.path, back=url_for("streaming.start"), kept={},
        )  # fmt: skip
    done = run_command(name)
    if wants_json():
        return json_response(done)
    flash(f"{command.word}: {done.message}", "info" if done.success else "warning")
    return redirect(url_for("streaming.start"), 303)
