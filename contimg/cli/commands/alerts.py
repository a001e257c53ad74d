"""`contimg alerts`: what holds, and what has been."""

from datetime import UTC, datetime

import click
from contimg.cli.listing import as_json_option, limit_option, print_list

from contimg.store import AlertRecord, configured_store


@click.command()
@limit_option(20)
@click.option("--on", "only_on", is_flag=True, help="Only those that hold now.")
@as_json_option
def alerts(limit: int, only_on: bool, as_json: bool) -> None:
    """List alerts, the newest first; `contimg config check` says what the limits of the rules are."""
    with configured_store() as store:
        found = store.alerts.on()[::-1][:limit] if only_on else store.alerts.listed(limit=limit)
    print_list(found, _line, "no alert holds" if only_on else "no alert has been raised", as_json=as_json)


def _line(one: AlertRecord) -> str:
    """One alert on one line: since when, for how long, what was wrong."""
    began = datetime.fromtimestamp(one.began_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    lasted = "on" if one.ended_at is None else f"{one.ended_at - one.began_at:.0f} s"
    return f"{began}  {lasted:>8}  {one.level:<7}  {one.text}"
