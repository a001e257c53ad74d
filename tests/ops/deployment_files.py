"""Read settings files and check command lines of the deployment files."""

from collections.abc import Sequence
from pathlib import Path

import click
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.worker import worker

from contimg.cli import contimg


def variables_in(example: Path) -> set[str]:
    """Return the variables of a settings file, including those in comments."""
    lines = [line.lstrip("#") for line in example.read_text(encoding="utf-8").splitlines()]
    return {name for name, equals, _ in (line.partition("=") for line in lines) if equals and name.isupper()}


def check_command(words: Sequence[str]) -> None:
    """Raise click.ClickException unless a `contimg …` or `celery … worker …` command line parses."""
    program = Path(words[0]).name
    if program == "contimg":
        if words[1] == "--state-dir":
            words = [words[0], *words[3:]]
        if words[1:] == ["--help"]:
            return
        command = contimg.get_command(click.Context(contimg), words[1])
        if command is None:
            raise click.UsageError(f"contimg has no command {words[1]}")
        command.make_context(words[1], list(words[2:]))
    elif "worker" in words:
        context = CLIContext(app=Celery(), no_color=True, workdir=None)
        worker.make_context("worker", list(words[list(words).index("worker") + 1 :]), obj=context)
