"""`contimg backup`: the state in one file."""

from datetime import UTC, datetime
from pathlib import Path

import click

from contimg.settings import Settings


@click.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
def backup(target: Path | None) -> None:
    """Write the store and the configuration to TARGET, while the stream runs (default: contimg-TIME.tar.gz here).

    Products are files of their own and not in it. A PostgreSQL store is in it, too, in a form that either database
    takes back.
    """
    from contimg.store.backup import back_up

    path = target or Path(datetime.now(UTC).strftime("contimg-%Y-%m-%dT%H-%M-%S.tar.gz"))
    made = back_up(Settings.from_environment(), path)
    click.echo(
        f"{path}  {path.stat().st_size / 1e6:.1f} MB, {made.rows['groups']} groups, {made.rows['images']} images"
    )
