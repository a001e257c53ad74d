"""`contimg config show|check|set|undo|history`."""

from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from contimg import settings
from contimg.cli.shared import as_json_option, by_option, limit_option, open_store, print_json, print_list
from contimg.common.errors import ContimgError, Misconfigured
from contimg.common.options import SettingValue
from contimg.common.units import format_utc
from contimg.settings.changes import Change, change, describe, hide_secrets, history, undo

_restart_option = click.option("--restart", is_flag=True, help="Restart a running stream, as the panel does.")


@click.group()
def config() -> None:
    """Show, check, change and undo the configuration.

    The values are those of STATE/streaming_config.json, overridden by the environment.
    """


@config.command()
@click.option("--json", is_flag=True, expose_value=False, help="Print JSON, as without this option.")
def show() -> None:
    """Print the sixteen keys in force, as JSON."""
    print_json(settings.shown(settings.load(settings.Settings.from_environment())))


@config.command()
@as_json_option
def check(as_json: bool) -> None:
    """Check the configuration; list each value and its source."""
    rows = settings.explain(settings.Settings.from_environment())
    if as_json:
        print_json([{"key": row.key, "value": _text(row), "source": row.source, "help": row.help} for row in rows])
        return
    width = max(len(row.key) for row in rows)
    for row in rows:
        click.echo(f"{row.key:<{width}}  {_text(row)}  {click.style(f'({row.source})', dim=True)}")


@config.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
@by_option
@_restart_option
@as_json_option
def set_keys(assignments: tuple[str, ...], by: str, restart: bool, as_json: bool) -> None:
    """Set keys in the file, all or none.

    A running stream uses them after a restart. `contimg config undo` undoes the change.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise Misconfigured(f"{assignment}: give KEY=VALUE, for example max_workers=2")
        changes[key.strip()] = value.strip()
    _finish(change(settings.Settings.from_environment(), changes, by), restart, as_json)


@config.command("undo")
@by_option
@_restart_option
@as_json_option
def undo_last(by: str, restart: bool, as_json: bool) -> None:
    """Undo the last change of the configuration.

    It may have been made by `contimg config`, the panel or the API.
    """
    _finish(undo(settings.Settings.from_environment(), by), restart, as_json)


@config.command("history")
@limit_option(20)
@as_json_option
def show_history(limit: int, as_json: bool) -> None:
    """List changes, newest first: time, author, keys."""
    changes = [hide_secrets(saved) for saved in history(settings.Settings.from_environment())[:limit]]
    print_list(changes, _line, "no change has been made", as_json=as_json)


def _line(saved: Change) -> str:
    return f"{format_utc(saved.at)}  {saved.by}  {'undone: ' if saved.undoes else ''}{describe(saved)}"


def _finish(saved: Change, restart: bool, as_json: bool) -> None:
    """Print the values in force, record the change in the event log, restart a running stream on request."""
    deployment = settings.Settings.from_environment()
    rows = {row.key: row for row in settings.explain(deployment)}
    for key in () if as_json else saved.after:
        click.echo(f"{key}  {_text(rows[key])}  ({rows[key].source})")
    verb = "change undone" if saved.undoes else "changed"
    try:
        with open_store() as store:
            store.events.add(f"configuration {verb} by {saved.by}: {describe(saved)}", author=saved.by)
    except (ContimgError, SQLAlchemyError) as error:
        click.echo(f"saved, but not recorded in the event log: {str(error).splitlines()[0]}", err=True)
    if as_json:
        print_json(hide_secrets(saved))
    if restart:
        from contimg.cli.service import run_command
        from workers.service import StreamingServiceManager

        if StreamingServiceManager(deployment).status().running:
            run_command("restart", saved.by, err=as_json)
        else:
            click.echo("the stream is stopped; it uses the keys from its next start", err=as_json)


def _text(row: SettingValue) -> str:
    return "(set, not shown)" if row.secret and row.value else str(row.value)
