"""`contimg retention`: what the rules no longer keep, and on demand away with it."""

from datetime import UTC, datetime

import click

from contimg.options import flags, from_flags
from contimg.settings import RetentionRules
from contimg.store import configured_store


@click.command()
@click.option("--delete", is_flag=True, help="Do it. Without this flag it only says what would go.")
@flags(RetentionRules)
def retention(delete: bool, **given: object) -> None:
    """Say which old products the rules no longer keep; with --delete, delete them. The service does so by itself.

    What a stage of its group waits for or reads is never touched, nor what the calibration registry stands on.
    """
    from workers.housekeeping.retention import retire

    rules = from_flags(RetentionRules, dict(given))
    with configured_store() as store:
        gone = retire(store, rules, dry_run=not delete)
    for one in gone:
        made = datetime.fromtimestamp(one.product.created_at, UTC).strftime("%Y-%m-%d %H:%MZ")
        click.echo(f"{one.product.paths[0]}  {one.product.kind}, made {made}, {one.bytes / 1e9:.2f} GB")
    total_gb = sum(one.bytes for one in gone) / 1e9
    word = "deleted" if delete else "would be deleted; --delete does it"
    click.echo(f"{len(gone)} products, {total_gb:.2f} GB, {word}" if gone else "nothing is past its time")
