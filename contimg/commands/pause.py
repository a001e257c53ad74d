"""`contimg pause`: let no further stage begin."""

import getpass

import click

from contimg.config import load, settings_from
from contimg.store import Store


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who pauses, for those who wonder.")
def pause(by: str) -> None:
    """Let no further stage begin, on any host, until `contimg resume`; files are still taken in."""
    store = Store.of(load(settings_from()))
    store.queue.pause(by)
    store.close()
    click.echo("paused: stages under way end, no other begins; `contimg resume` goes on")
