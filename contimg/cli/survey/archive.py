"""`contimg archive status|copy|verify|restore|prepare`."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, open_store, print_json, print_list
from contimg.common.options import Choice
from contimg.common.units import format_utc, number_of
from contimg.settings import Settings, load
from contimg.settings.retention import PRODUCT_KINDS
from contimg.store import Store
from contimg.survey.archive.copying import check_places, find_place, verify_files
from contimg.survey.archive.options import ArchiveOptions, PlaceRule, read_places
from contimg.survey.archive.overview import ArchiveReport, describe_archive
from contimg.survey.archive.restoring import RestoredFile, restore_files


@click.group()
def archive() -> None:
    """Copy products to other places, verify and restore them.

    The places are described in the file that CONTIMG_ARCHIVE_PLACES names; see docs/archive.md.
    """


class _Date(click.ParamType[str]):
    """A UTC date as text."""

    name = "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the form of a date; an empty one is no limit."""
        if value and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value), re.ASCII):
            self.fail(f"{value!r}: a UTC date such as 2026-02-22", param, ctx)
        return str(value)


def _selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that select files and places."""
    for decorate in (
        click.option("--place", "names", multiple=True, metavar="NAME", help="Only this place; may be given again."),
        click.option("--kind", "kinds", multiple=True, type=Choice(PRODUCT_KINDS), help="Only this kind of product."),
        click.option("--to", "until", type=_Date(), default="", help="Last night, UTC date."),
        click.option("--from", "since", type=_Date(), default="", help="First night, UTC date."),
    ):
        command = decorate(command)
    return command


def _read_rules(names: Sequence[str] = ()) -> tuple[PlaceRule, ...]:
    """The places of some names; without names, all."""
    rules = read_places(ArchiveOptions.from_environment(), Settings.from_environment().base_dir)
    for name in names:
        find_place(rules, name)
    return tuple(rule for rule in rules if not names or rule.name in names)


def _available(store: Store, rules: Sequence[PlaceRule]) -> dict[str, Any]:
    """The places that are available; the others are named on the standard error."""
    places, states = check_places(store, rules), store.archive.places()
    for rule in rules:
        if rule.name not in places:
            since = format_utc(states[rule.name].since)
            click.echo(f"{rule.name} is away since {since}: {states[rule.name].error}", err=True)
    return places


@archive.command()
@click.option("--nights", default=14, show_default=True, type=click.IntRange(1, 3660), help="Number of nights.")
@as_json_option
def status(nights: int, as_json: bool) -> None:
    """Show places, copies of each night, corrupt and missing files."""
    with open_store() as store:
        report = describe_archive(store, _read_rules(), nights)
    if as_json:
        print_json(report)
    else:
        _print_report(report)


def _print_report(report: ArchiveReport) -> None:
    if not report.places:
        click.echo("no place; CONTIMG_ARCHIVE_PLACES names the file that describes them")
    for place in report.places:
        since = f" since {format_utc(place.changed_at)}" if place.changed_at else ""
        click.echo(f"{place.name:<20}  {place.state}{since}  {place.url}  {' '.join(place.kinds)}")
        counts = ", ".join(f"{number} {state}" for state, number in place.copies.items() if number)
        last = f", last verified {format_utc(place.last_verified_at)}" if place.last_verified_at else ""
        click.echo(f"  copies: {counts or 'none'}{last}")
        if place.error:
            click.echo(f"  {place.error}")
    for night in report.nights:
        verified = "  ".join(f"{name} {number}" for name, number in night.verified.items())
        click.echo(f"{night.night}  {night.files} files  {night.size_bytes / 1e9:.2f} GB  verified: {verified or '-'}")
    for problem in report.problems:
        where = f" in {problem.place}" if problem.place else ""
        click.echo(f"{problem.path}{where}: {problem.state}: {problem.error}")


@archive.command()
@click.option("--place", "names", multiple=True, metavar="NAME", help="Only this place; may be given again.")
@click.option("--audit", is_flag=True, help="Also read again what was last read CONTIMG_ARCHIVE_VERIFY_DAYS ago.")
@as_json_option
def copy(names: tuple[str, ...], audit: bool, as_json: bool) -> None:
    """Make and verify the copies that are missing, as the service does."""
    from workers.execution.archiving import run_round
    from workers.execution.stages import StageContext

    rules, options = _read_rules(names), ArchiveOptions.from_environment()
    with open_store() as store:
        context = StageContext(load(Settings.from_environment()), store)
        done = run_round(context, rules, options, audits=audit)
        counts = {rule.name: store.archive_overview.counts(rule.name) for rule in rules}
    if as_json:
        print_json({"round": done, "copies": counts})
        return
    for name, by_state in counts.items():
        away = "  (away)" if name in done.away else ""
        click.echo(f"{name}: {', '.join(f'{number} {state}' for state, number in by_state.items() if number)}{away}")
    click.echo(f"{number_of(done.completed, 'job')} completed, {done.unfinished} not completed")


@archive.command()
@_selection
@click.option("--local/--no-local", default=True, show_default=True, help="Read the local files, too.")
@as_json_option
def verify(
    since: str, until: str, kinds: tuple[str, ...], names: tuple[str, ...], local: bool, as_json: bool
) -> None:  # fmt: skip
    """Read files and copies and compare them with their checksums.

    Exit status 1 when one is corrupt or missing.
    """
    rules = _read_rules(names)
    with open_store() as store:
        places = _available(store, rules)
        result = verify_files(store, list(places.values()), since, until, kinds, local=local)
        problems = store.archive_overview.problems()
    if as_json:
        print_json({"result": result, "problems": problems})
    else:
        for problem in problems:
            where = f" in {problem.place}" if problem.place else ""
            click.echo(f"{problem.path}{where}: {problem.state}: {problem.error}")
        click.echo(f"{result.files} files and {result.copies} copies read, {result.wrong} corrupt or missing")
    if result.wrong:
        sys.exit(1)


@archive.command()
@_selection
@click.option("--into", type=PATH, help="Write to this directory instead, also what retention has deleted.")
@click.option("--dry-run", is_flag=True, help="Write nothing; list what would be restored.")
@as_json_option
def restore(
    since: str, until: str, kinds: tuple[str, ...], names: tuple[str, ...], into: Any, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Restore missing and corrupt files from verified copies.

    A local file that has its checksum is never written over. Exit status 1 when a file cannot be restored.
    """
    rules, config = _read_rules(names), load(Settings.from_environment())
    with open_store() as store:
        places = _available(store, rules)
        directories = (config.output_dir, config.input_dir)
        restored = restore_files(store, places, directories, since, until, kinds, into=into, dry_run=dry_run)
    print_list(restored, lambda file: _line(file, dry_run), "no file is missing or corrupt", as_json=as_json)
    if any(file.error for file in restored):
        sys.exit(1)


def _line(file: RestoredFile, dry_run: bool) -> str:
    if file.error:
        return f"{file.path}: not restored: {file.error}"
    return f"{file.path}: {'would be restored' if dry_run else 'restored'} from {file.place}"


@archive.command()
@click.argument("place")
def prepare(place: str) -> None:
    """Mark a new place as that of its name.

    Without the mark (the file .contimg-archive) nothing is written there, so that an empty mount point is not filled.
    """
    rules = _read_rules()
    find_place(rules, place).prepare()
    click.echo(f"{place}: prepared")
