"""Options and output that several commands share."""

import getpass
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from contimg.settings import Settings, load
from contimg.store import Store, configured_store
from contimg.store.engine import is_missing

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


def print_json(value: object) -> None:
    """Print a value as JSON; dataclass instances as objects, paths and times as text."""
    click.echo(json.dumps(value, indent=2, default=lambda item: vars(item) if is_dataclass(item) else str(item)))


@contextmanager
def store_to_read() -> Iterator[Store]:
    """The configured store; without one an empty store in memory, and a line on standard error: none is created."""
    database = load(Settings.from_environment()).queue_db
    if not is_missing(database):
        with configured_store() as store:
            yield store
        return
    click.echo(f"queue_db={database}: no store; the service creates it, or put it back if it was moved", err=True)
    store = Store.open(":memory:")
    try:
        yield store
    finally:
        store.close()
