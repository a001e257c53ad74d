"""Options and output that several commands share."""

import getpass
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from contimg.cli import Access, access_of
from contimg.formats.records import to_plain

if TYPE_CHECKING:  # commands without a store start sooner
    from contimg.sky.comparison.result import SkyComparison
    from contimg.store import Store

Record = TypeVar("Record")

PATH = click.Path(path_type=Path)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def _user_name() -> str:
    """Return the name of the user, or the uid of one that has no name here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"


by_option = click.option(
    "--by", default=_user_name, show_default="your user name", help="Name recorded in the event log."
)


def limit_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--limit` with its default."""
    return click.option(
        "--limit", default=default, show_default=True, type=click.IntRange(min=1), help="Maximum number of entries."
    )


def print_list(records: Sequence[Record], line: Callable[[Record], str], none: str, *, as_json: bool) -> None:
    """Print records.

    Parameters
    ----------
    records : dataclass instances.
    line : formats one record.
    none : text for an empty list; JSON prints an empty list instead.
    as_json : whether to print JSON.
    """
    if as_json:
        print_json(records)
        return
    for text in map(line, records) if records else (none,):
        click.echo(text)


def print_record(record: Record, line: Callable[[Record], str], *, as_json: bool) -> None:
    """Print one record.

    Parameters
    ----------
    record : dataclass instance.
    line : formats it.
    as_json : whether to print JSON.
    """
    if as_json:
        print_json(record)
    else:
        click.echo(line(record))


def print_json(value: object) -> None:
    """Print a record, or a list or mapping of records, as the JSON that the API answers with.

    Parameters
    ----------
    value : as `to_plain` accepts it.
    """
    click.echo(json.dumps(to_plain(value), indent=2))


@contextmanager
def open_store() -> "Iterator[Store]":
    """The store of the state directory in force, closed at the end of the block.

    Only a command that is marked `Access.CREATE` creates one where there is none.

    Raises
    ------
    Misconfigured : there is no store; streams that run elsewhere on this machine are named.
    """
    from contimg.settings import Settings, load
    from contimg.store import Store
    from workers.service.streams import check_store_exists

    settings = Settings.from_environment()
    if access_of(click.get_current_context(silent=True)) is not Access.CREATE:
        check_store_exists(settings)
    store = Store.of(load(settings))
    try:
        yield store
    finally:
        store.close()


def print_comparison(comparison: "SkyComparison", plots: Path | None) -> None:
    """Print what an image or mosaic was compared with, and the result.

    Parameters
    ----------
    comparison : the numbers.
    plots : file of the plots, if any.
    """
    from contimg.quality.comparison import describe_comparison

    click.echo(f"compared {describe_comparison(comparison)}")
    if comparison.catalogue_name is None or comparison.catalogue_flux_ratio is None:
        return
    click.echo(
        f"flux     {comparison.catalogue_flux_ratio:.3f} +- {comparison.catalogue_flux_error or 0:.3f} times the "
        f"catalogue's, {comparison.catalogue_matches} sources"
    )
    if comparison.catalogue_offset_arcsec is not None:
        shifted = "" if comparison.shift_east_arcsec is None else ", corrected"
        click.echo(
            f"offset   {comparison.catalogue_offset_east_arcsec:+.2f} arcsec east, "
            f"{comparison.catalogue_offset_north_arcsec:+.2f} north +- {comparison.catalogue_offset_error_arcsec:.2f}"
            f"{shifted}"
        )
    if comparison.catalogue_completeness is not None:
        click.echo(f"complete {comparison.catalogue_completeness:.0%} of the sources predicted at S/N 10 are detected")
    click.echo(f"plots    {plots}")
