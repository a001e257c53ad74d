"""`contimg resume`: let stages begin again."""

import getpass

import click

from contimg.store import configured_store


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who resumes, for those who wonder.")
def resume(by: str) -> None:
    """Let stages begin again after `contimg pause`; what waited is sent at the reconciler's next round."""
    with configured_store() as store:
        store.jobs.resume(by)
    click.echo("resumed")
