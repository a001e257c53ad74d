"""`contimg resume`: let stages begin again."""

import getpass

import click

from contimg.config import load, settings_from
from contimg.store import Store


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who resumes, for those who wonder.")
def resume(by: str) -> None:
    """Let stages begin again after `contimg pause`; what waited is sent at the reconciler's next round."""
    store = Store.of(load(settings_from()))
    store.queue.resume(by)
    store.close()
    click.echo("resumed")
