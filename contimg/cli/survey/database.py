"""`contimg db`: revision, sizes and pruning of the store."""

import click

from contimg.cli.shared import as_json_option, open_store, print_json, print_list
from contimg.common.errors import Misconfigured, mask_secrets
from contimg.common.units import format_utc
from contimg.settings import RetentionRules, Settings, load, queue_rules
from contimg.store import PrunedRecords, StoreSizes, database
from contimg.store.engine import make_engine, url_of
from workers.service.streams import check_store_exists


@click.group()
def db() -> None:
    """Show sizes of the store; upgrade it, prune its old records."""


@db.command()
@as_json_option
def current(as_json: bool) -> None:
    """Print the revision of the store and the one needed."""
    settings = Settings.from_environment()
    check_store_exists(settings)
    engine = make_engine(url_of(load(settings).queue_db))
    revision = database.current_revision(engine)
    if as_json:
        print_json({"url": mask_secrets(str(engine.url)), "revision": revision, "needed_revision": database.HEAD})
        return
    state = "up to date" if revision == database.HEAD else f"{database.HEAD} is needed; run `contimg db upgrade`"
    click.echo(f"{mask_secrets(str(engine.url))}  revision {revision or 'none'}  ({state})")


@db.command()
def upgrade() -> None:
    """Upgrade the store, or create it if missing."""
    config = load(Settings.from_environment())
    queue_rules(config)  # a wrong setting is reported before anything is replaced
    engine = make_engine(url_of(config.queue_db))
    click.echo(f"{mask_secrets(str(engine.url))}  revision {database.upgrade(engine)}")


@db.command()
@click.option("--last", is_flag=True, help="The sizes that the service recorded last, at once.")
@as_json_option
def sizes(last: bool, as_json: bool) -> None:
    """Print rows and bytes of tables and indexes, and their growth.

    Every row is counted and, on SQLite, every page read, which takes some seconds for each 10 GB. The stream may run.
    The growth is that since the sizes that the service records once a day.
    """
    with open_store() as store:
        measured = store.sizes.last() if last else store.sizes.read()
    if as_json:
        print_json(measured)
    elif measured is None:
        click.echo("no sizes are recorded yet; the service records them once a day")
    else:
        _print_sizes(measured)


def _print_sizes(measured: StoreSizes) -> None:
    click.echo(f"{'table or index':38} {'rows':>13} {'MB':>10} {'rows/day':>10} {'MB/day':>9}")
    for table in measured.tables:
        rates = f"{_number(table.rows_per_day, 0):>10} {_megabytes(table.bytes_per_day, 2):>9}"
        click.echo(f"{table.name:38} {table.rows:13,} {_megabytes(table.bytes):>10} {rates}")
        for index in table.indexes:
            click.echo(f"  {index.name:36} {'':13} {_megabytes(index.bytes):>10}")
    parts = [f"{measured.bytes / 1e9:.3f} GB"]
    if measured.free_bytes is not None:
        parts.append(f"{measured.free_bytes / 1e6:.1f} MB of it free")
    if measured.bytes_per_day is not None:
        parts.append(f"{measured.bytes_per_day / 1e6:+.2f} MB a day")
    if measured.disk_free_bytes is not None:
        parts.append(f"{measured.disk_free_bytes / 1e9:.1f} GB free on the disk")
    if measured.days_until_full is not None:
        parts.append(f"full in {measured.days_until_full / 365.25:.1f} years")
    click.echo(f"{format_utc(measured.at)}  {', '.join(parts)}")


def _megabytes(size: float | None, digits: int = 1) -> str:
    return _number(None if size is None else size / 1e6, digits)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


@db.command()
@click.option("--dry-run", is_flag=True, help="Count the records instead of deleting them.")
@click.option("--vacuum", is_flag=True, help="Return the free space to the disk afterwards.")
@as_json_option
def prune(dry_run: bool, vacuum: bool, as_json: bool) -> None:
    """Delete old records, and replace old samples by hourly means.

    The ages are those of CONTIMG_KEEP_EVENTS_DAYS and the like; the service prunes by the same rules. The stream may
    run: the transactions are short. With --vacuum on SQLite it must be stopped, and the disk needs free space of twice
    the store's size.
    """
    from workers.service import StreamingServiceManager

    settings = Settings.from_environment()
    if vacuum and not dry_run and "://" not in str(load(settings).queue_db):
        service = StreamingServiceManager(settings)
        is_running = service.status().running
        service.close()
        if is_running:
            raise Misconfigured("the stream is running; stop it first, then prune with --vacuum")
    with open_store() as store:
        pruned = store.pruning.prune(RetentionRules.from_environment(), dry_run=dry_run)
        if vacuum and not dry_run:
            store.sizes.vacuum()
    print_list(pruned, _describe, "all records are kept (CONTIMG_KEEP_EVENTS_DAYS=0)", as_json=as_json)
    if not as_json and dry_run:
        click.echo("nothing was deleted")


def _describe(pruned: PrunedRecords) -> str:
    return f"{pruned.rows:12,}  {pruned.records}, before {format_utc(pruned.kept_since)}"
