"""`contimg pause`: let no further stage begin."""

import getpass

import click

from contimg.store import configured_store


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who pauses, for those who wonder.")
def pause(by: str) -> None:
    """Let no further stage begin, on any host, until `contimg resume`; files are still taken in."""
    with configured_store() as store:
        store.jobs.pause(by)
    click.echo("paused: stages under way end, no other begins; `contimg resume` goes on")
