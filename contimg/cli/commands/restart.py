"""`contimg restart`: stop the stream and start it again."""

import getpass

import click


@click.command()
@click.option("--by", default=getpass.getuser, show_default="you", help="Who does it, for the event log.")
def restart(by: str) -> None:
    """Stop the stream after the stages under way and start it with the configuration as it stands now."""
    from workers.service.orders import carry_out

    click.echo(carry_out("restart", by))
