"""`contimg backup`, `contimg restore` and `contimg retention`."""

import time
from pathlib import Path

import click

from contimg.cli.shared import as_json_option, open_store, print_json
from contimg.common.errors import Misconfigured
from contimg.common.options import flags, from_flags
from contimg.common.units import format_utc
from contimg.formats.records import to_plain
from contimg.settings import RetentionRules, Settings
from workers.service.streams import check_store_exists


@click.command()
@click.argument("target", required=False, type=click.Path(path_type=Path))
@as_json_option
def backup(target: Path | None, as_json: bool) -> None:
    """Write the store and the configuration to an archive.

    TARGET is contimg-TIME.tar.gz unless given; the stream may run. Products are separate files and not included. A
    PostgreSQL store is included too, in a form that either database can restore.
    """
    from contimg.store.backup import back_up

    settings = Settings.from_environment()
    check_store_exists(settings)
    path = target or Path(format_utc(time.time(), "contimg-%Y-%m-%dT%H-%M-%S.tar.gz"))
    written = back_up(settings, path)
    if as_json:
        print_json({"path": path, **to_plain(written)})
        return
    rows = written.rows
    click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB, {rows['groups']} groups, {rows['images']} images")


@click.command()
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the content of a PostgreSQL store.")
def restore(archive: Path, force: bool) -> None:
    """Restore the store and the configuration from an archive.

    The stream must be stopped. An existing SQLite store is kept beside the restored one under another name. Files that
    arrived after the backup are registered when the stream starts.
    """
    from contimg.store.backup import restore as restore_backup
    from workers.service import StreamingServiceManager

    settings = Settings.from_environment()
    service = StreamingServiceManager(settings)
    running = service.status().running
    service.close()  # releases this process's own connection to the store
    if running:
        raise Misconfigured("the stream is running; stop it first (`contimg pause` is not enough), then restore")
    rows = restore_backup(settings, archive, force=force).rows
    click.echo(f"restored {rows['groups']} groups and {rows['images']} images; `contimg start` starts the stream")


@click.command()
@click.option("--delete", is_flag=True, help="Delete the products instead of listing them.")
@as_json_option
@flags(RetentionRules)
def retention(delete: bool, as_json: bool, **arguments: object) -> None:
    """List or delete the products past the retention rules.

    With --delete they are deleted as the service does. Inputs of a group's remaining stages and tables of the
    calibration registry are never deleted.
    """
    from workers.housekeeping.cleanup import delete_expired

    rules = from_flags(RetentionRules, dict(arguments))
    with open_store() as store:
        expired = delete_expired(store, rules, dry_run=not delete)
        lacking = sum(product.lacking_copies > 0 for product in store.retention.due(rules))
    if as_json:
        print_json([{**to_plain(item.product), "size_bytes": item.size_bytes} for item in expired])
        return
    for item in expired:
        created = format_utc(item.product.created_at, "%Y-%m-%d %H:%MZ")
        click.echo(f"{item.product.paths[0]}  {item.product.kind}, created {created}, {item.size_bytes / 1e9:.2f} GB")
    total_gb = sum(item.size_bytes for item in expired) / 1e9
    outcome = "deleted" if delete else "would be deleted with --delete"
    click.echo(f"{len(expired)} products, {total_gb:.2f} GB, {outcome}" if expired else "no product is to be deleted")
    if lacking:
        click.echo(
            f"{lacking} products are kept because files of theirs lack a verified copy; see `contimg archive status`"
        )
