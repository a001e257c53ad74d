"""`contimg start`: start the stream."""

import getpass

import click


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who does it, for the event log.")
def start(by: str) -> None:
    """Start the stream in the background and wait until it runs. `contimg run` runs it in this terminal instead."""
    from workers.service.orders import carry_out

    click.echo(carry_out("start", by))
