"""`contimg alerts`: what holds, and what has been."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from contimg.store import AlertRecord
from contimg.store.configured import opened


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--on", "only_on", is_flag=True, help="Only those that hold now.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def alerts(limit: int, only_on: bool, as_json: bool) -> None:
    """List alerts, the newest first; `contimg config check` says what the limits of the rules are."""
    with opened() as store:
        found = store.alerts.on()[::-1][:limit] if only_on else store.alerts.listed(limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no alert holds" if only_on else "no alert has been raised")


def _line(one: AlertRecord) -> str:
    """One alert on one line: since when, for how long, what was wrong."""
    began = datetime.fromtimestamp(one.began_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    lasted = "on" if one.ended_at is None else f"{one.ended_at - one.began_at:.0f} s"
    return f"{began}  {lasted:>8}  {one.level:<7}  {one.text}"
