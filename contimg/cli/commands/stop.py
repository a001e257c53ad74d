"""`contimg stop`: stop the stream."""

import getpass

import click


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who does it, for the event log.")
def stop(by: str) -> None:
    """Stop the stream after the stages under way. New files wait on disk until it is started again."""
    from workers.service.orders import carry_out

    click.echo(carry_out("stop", by))
