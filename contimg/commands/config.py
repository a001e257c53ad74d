"""`contimg config show|check|set`."""

import json
from typing import Any

import click

from contimg import config as configuration
from contimg.errors import Misconfigured
from contimg.options import Effective

HIDDEN = "(set, not shown)"


@click.group()
def config() -> None:
    """What the pipeline is told to do: state/streaming_config.json and the environment."""


@config.command()
def show() -> None:
    """Print the sixteen keys in force, as JSON."""
    click.echo(json.dumps(configuration.shown(configuration.load(configuration.settings_from())), indent=2))


@config.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(as_json: bool) -> None:
    """Check everything and say what is in force and where each value came from."""
    found = configuration.effective(configuration.settings_from())
    if as_json:
        rows = [{"key": one.key, "value": _shown(one), "source": one.source, "help": one.help} for one in found]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(one.key) for one in found)
    for one in found:
        click.echo(f"{one.key:<{width}}  {_shown(one)}  {click.style(f'({one.source})', dim=True)}")


@config.command("set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_keys(assignments: tuple[str, ...]) -> None:
    """Set keys in the file, all of them or none.

    A running pipeline takes them up when it is restarted.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise Misconfigured(f"{assignment}: give KEY=VALUE, for example max_workers=2")
        changes[key.strip()] = value.strip()
    settings = configuration.settings_from()
    configuration.save(settings, changes)
    in_force = {one.key: one for one in configuration.effective(settings)}
    for key in changes:
        click.echo(f"{key}  {_shown(in_force[key])}  ({in_force[key].source})")


def _shown(one: Effective) -> str:
    return HIDDEN if one.secret and one.value else str(one.value)
