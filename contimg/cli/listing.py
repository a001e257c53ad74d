"""How a command lists what the store holds: so many at most, a line each, or JSON for machines."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import click

One = TypeVar("One")

as_json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


def limit_option(default: int, about: str = "At most so many.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--limit` with its default."""
    return click.option("--limit", default=default, show_default=True, type=click.IntRange(min=1), help=about)


def print_list(found: Sequence[One], line: Callable[[One], str], none: str, *, as_json: bool) -> None:
    """Print records (dataclasses), each as its line; `none` says that there is none. As JSON an empty list does."""
    if as_json:
        print_json([asdict(one) for one in found])  # type: ignore[call-overload]  # mypy knows no bound for dataclasses
        return
    for one in found:
        click.echo(line(one))
    if not found:
        click.echo(none)


def print_json(what: object) -> None:
    """Print something for machines; paths and times as their text."""
    click.echo(json.dumps(what, indent=2, default=str))
