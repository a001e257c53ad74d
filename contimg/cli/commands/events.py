"""`contimg events`: what happened, and who commanded what."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime

import click

from contimg.store import EventRecord, configured_store

_LEVELS = ("info", "warning", "error")


@click.command()
@click.option("--limit", default=30, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--level", type=click.Choice(_LEVELS), help="Only those of this level.")
@click.option("--group", help="Only those of this group.")
@click.option("--follow", is_flag=True, help="Go on with those that come, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="For machines, one JSON object a line.")
def events(limit: int, level: str | None, group: str | None, follow: bool, as_json: bool) -> None:
    """Print the newest events, the newest last."""

    def say(one: EventRecord) -> None:
        if level in (None, one.level) and group in (None, one.group):
            click.echo(json.dumps(asdict(one)) if as_json else _line(one))

    with configured_store() as store:
        newest = store.events.last(1)
        for one in reversed(store.events.last(limit, level=level, group=group)):
            say(one)
        after = newest[0].id if newest else 0
        while follow:
            for one in store.events.after(after):
                say(one)
                after = one.id
            time.sleep(1.0)


def _line(one: EventRecord) -> str:
    """One event on one line: when, level, group, what."""
    at = datetime.fromtimestamp(one.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return "  ".join(part for part in (at, f"{one.level:<7}", one.group, one.text) if part)
