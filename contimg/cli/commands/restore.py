"""`contimg restore`: a backup put back."""

from pathlib import Path

import click

from contimg.errors import Misconfigured
from contimg.settings import Settings


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace what a PostgreSQL store holds.")
def restore(archive: Path, force: bool) -> None:
    """Put the store and the configuration of ARCHIVE back; the stream must be stopped.

    A SQLite store that is there is kept beside it under another name. What arrived after the backup is found again when
    the stream starts.
    """
    from contimg.store.backup import restore as put_back
    from workers.service import StreamingServiceManager

    settings = Settings.from_environment()
    service = StreamingServiceManager(settings)
    running = service.status().running
    service.close()  # or this very process would have the store open
    if running:
        raise Misconfigured("the stream is running; stop it first (`contimg pause` is not enough), then restore")
    backup = put_back(settings, archive, force=force)
    click.echo(f"restored {backup.rows['groups']} groups and {backup.rows['images']} images; start the stream to go on")
