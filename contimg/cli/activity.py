"""`contimg alerts` and `contimg events`."""

import json
import time
from dataclasses import asdict

import click

from contimg.cli.shared import as_json_option, limit_option, print_list
from contimg.store import AlertRecord, EventRecord, configured_store
from contimg.units import format_utc


@click.command()
@limit_option(20)
@click.option("--on", "only_on", is_flag=True, help="List active alerts only.")
@as_json_option
def alerts(limit: int, only_on: bool, as_json: bool) -> None:
    """List alerts, newest first; `contimg config check` lists the limits of the rules."""
    with configured_store() as store:
        records = store.alerts.active()[::-1][:limit] if only_on else store.alerts.last(limit=limit)
    print_list(records, _alert_line, "no alert is active" if only_on else "no alert has been raised", as_json=as_json)


def _alert_line(alert: AlertRecord) -> str:
    duration = "on" if alert.ended_at is None else f"{alert.ended_at - alert.began_at:.0f} s"
    return f"{format_utc(alert.began_at)}  {duration:>8}  {alert.level:<7}  {alert.text}"


@click.command()
@limit_option(30)
@click.option("--level", type=click.Choice(["info", "warning", "error"]), help="List events of this level only.")
@click.option("--group", help="List events of this group only.")
@click.option("--follow", is_flag=True, help="Print new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text.")
def events(limit: int, level: str | None, group: str | None, follow: bool, as_json: bool) -> None:
    """Print the newest events, newest last."""

    def print_event(event: EventRecord) -> None:
        if level in (None, event.level) and group in (None, event.group):
            click.echo(json.dumps(asdict(event)) if as_json else _event_line(event))

    with configured_store() as store:
        newest = store.events.last(1)
        for event in reversed(store.events.last(limit, level=level, group=group)):
            print_event(event)
        after = newest[0].id if newest else 0
        while follow:
            for event in store.events.after(after):
                print_event(event)
                after = event.id
            time.sleep(1.0)


def _event_line(event: EventRecord) -> str:
    parts = (format_utc(event.at), f"{event.level:<7}", event.group, event.text)
    return "  ".join(part for part in parts if part)
