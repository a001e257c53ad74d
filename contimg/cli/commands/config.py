"""`contimg config show|check|set|undo|history`."""

import getpass
from datetime import UTC, datetime
from typing import Any

import click
from contimg.cli.listing import as_json_option, limit_option, print_json
from sqlalchemy.exc import SQLAlchemyError

from contimg import settings as configuration
from contimg.errors import ContimgError, Misconfigured
from contimg.options import SettingValue
from contimg.settings.changes import Change, change, describe, history, undo
from contimg.store import configured_store

HIDDEN = "(set, not shown)"


@click.group()
def config() -> None:
    """What the pipeline is told to do: state/streaming_config.json and the environment."""


@config.command()
def show() -> None:
    """Print the sixteen keys in force, as JSON."""
    print_json(configuration.shown(configuration.load(configuration.Settings.from_environment())))


@config.command()
@as_json_option
def check(as_json: bool) -> None:
    """Check everything and say what is in force and where each value came from."""
    found = configuration.explain(configuration.Settings.from_environment())
    if as_json:
        rows = [{"key": one.key, "value": _shown(one), "source": one.source, "help": one.help} for one in found]
        print_json(rows)
        return
    width = max(len(one.key) for one in found)
    for one in found:
        click.echo(f"{one.key:<{width}}  {_shown(one)}  {click.style(f'({one.source})', dim=True)}")


@config.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who changes it, for those who wonder.")
@click.option("--restart", is_flag=True, help="Restart a running stream with them, as the panel does.")
def set_keys(assignments: tuple[str, ...], by: str, restart: bool) -> None:
    """Set keys in the file, all of them or none.

    A running pipeline takes them up when it is restarted. `contimg config undo` takes them back.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise Misconfigured(f"{assignment}: give KEY=VALUE, for example max_workers=2")
        changes[key.strip()] = value.strip()
    _tell(change(configuration.Settings.from_environment(), changes, by), restart)


@config.command("undo")
@click.option("--by", default=getpass.getuser, show_default="you", help="Who takes it back.")
@click.option("--restart", is_flag=True, help="Restart a running stream with it, as the panel does.")
def undo_last(by: str, restart: bool) -> None:
    """Take the last change back, whoever made it, from here or from the panel."""
    _tell(undo(configuration.Settings.from_environment(), by), restart)


@config.command("history")
@limit_option(20)
def show_history(limit: int) -> None:
    """List changes, the newest first: when, by whom, what."""
    made = history(configuration.Settings.from_environment())[:limit]
    for one in made:
        at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        click.echo(f"{at}  {one.by}  {'put back ' if one.undoes else ''}{describe(one)}")
    if not made:
        click.echo("no change has been made")


def _tell(made: Change, restart: bool) -> None:
    """Say what is in force now, note who did it, and have a running stream take it up if asked."""
    in_force = {one.key: one for one in configuration.explain(configuration.Settings.from_environment())}
    for key in made.after:
        click.echo(f"{key}  {_shown(in_force[key])}  ({in_force[key].source})")
    word = "put back" if made.undoes else "changed"
    try:
        with configured_store() as store:
            store.events.add(f"configuration {word} by {made.by}: {describe(made)}")
    except (ContimgError, SQLAlchemyError) as error:
        click.echo(f"saved, but not noted in the event log: {str(error).splitlines()[0]}", err=True)
    if restart:
        from workers.service.manager import StreamingServiceManager
        from workers.service.orders import carry_out

        running = StreamingServiceManager(configuration.Settings.from_environment()).status().running
        click.echo(
            carry_out("restart", made.by) if running else "the stream does not run; it holds from the next start"
        )


def _shown(one: SettingValue) -> str:
    return HIDDEN if one.secret and one.value else str(one.value)
