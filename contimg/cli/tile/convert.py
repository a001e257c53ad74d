"""`contimg convert`: groups of subband files to Measurement Sets, without a store; light to import."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, print_json
from contimg.common.errors import BadInput
from contimg.common.options import flags, from_flags
from contimg.formats.uvh5.grouping import find_groups, seconds_of
from contimg.instrument.dsa110 import BAND
from contimg.tile.convert import ConvertOptions, batch


def parse_time(text: str) -> float:
    """Convert an ISO 8601 time, UTC unless it names a zone, to seconds since 1970; raises click.BadParameter."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-02-22T23:17:51") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("input_dir", type=PATH)
@click.argument("output_dir", type=PATH)
@click.argument("start", type=parse_time)
@click.argument("end", type=parse_time)
@click.option(
    "--min-subbands", type=click.IntRange(min=1), help="Minimum number of subbands of a group.  [default: all]"
)
@click.option("--dry-run", is_flag=True, help="List what would be converted, and convert nothing.")
@click.option("--skip-existing", is_flag=True, help="Skip groups whose Measurement Set exists.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Groups converted in parallel.")
@click.option(
    "--room", "scratch", multiple=True, type=PATH,
    help="Scratch directory (for example a tmpfs), used if it has enough space. May be given several times.",
)  # fmt: skip
@as_json_option
@flags(ConvertOptions)
def convert(
    input_dir: Path,
    output_dir: Path,
    start: float,
    end: float,
    min_subbands: int | None,
    dry_run: bool,
    skip_existing: bool,
    jobs: int,
    scratch: tuple[Path, ...],
    as_json: bool,
    **arguments: Any,
) -> None:
    """Convert groups of subband files to Measurement Sets.

    The groups in INPUT_DIR with times from START to END (UTC) are written to OUTPUT_DIR/<group>.ms. A bad file is named
    and excluded; its group is converted without it if --min-subbands others remain. The exit status is 0 when every
    group was converted, 3 otherwise.
    """
    options = from_flags(ConvertOptions, arguments)
    subbands = options.plan.subbands if options.plan else BAND.subbands
    chosen = {name: files for name, files in find_groups(input_dir).items() if start <= seconds_of(name) <= end}
    if not chosen:
        raise BadInput(f"{input_dir}: no group of subband files between these times; check START and END (UTC)")
    tasks = [
        batch.ConvertTask(name, files, output_dir / f"{name}.ms", min_subbands or subbands, subbands, scratch)
        for name, files in chosen.items()
    ]
    waiting = [task for task in tasks if not (skip_existing and task.target.exists())]
    if dry_run:
        _print_conversions(tasks, waiting, as_json)
        return
    for name in (task.group for task in tasks if task not in waiting and not as_json):
        click.echo(f"{name}  exists")
    failed = 0
    outcomes = []
    for outcome in batch.convert_groups(waiting, options, jobs):
        for reason in outcome.left_out:
            click.echo(f"contimg: excluded {reason}", err=True)
        for note in outcome.product.notes if outcome.product else ():
            click.echo(f"contimg: group {outcome.task.group}: {note}", err=True)
        outcomes.append(outcome)
        if not as_json:
            click.echo(_conversion_line(outcome))
        if outcome.error:
            failed += 1
            click.echo(f"contimg: group {outcome.task.group}: {outcome.error}", err=True)
    if as_json:
        print_json(outcomes)
    if failed:
        raise BadInput(f"{failed} of {len(chosen)} groups were not converted; the lines above say why")


def _print_conversions(tasks: list[batch.ConvertTask], waiting: list[batch.ConvertTask], as_json: bool) -> None:
    """Print the groups that would be converted, or those that exist too."""
    if as_json:
        print_json(waiting)
        return
    for task in tasks:
        size_mb = sum(path.stat().st_size for path in task.files.values()) / 1e6
        if task not in waiting:
            outcome = "exists"
        elif len(task.files) < task.min_subbands:
            outcome = "too few subbands"
        else:
            outcome = f"to {task.target}"
        click.echo(f"{task.group}  {len(task.files)} of {task.subbands} subbands  {size_mb:.0f} MB  {outcome}")


def _conversion_line(outcome: batch.ConvertOutcome) -> str:
    ms = outcome.product
    if ms is None:
        return f"{outcome.task.group}  failed"
    size_mb = ms.bytes_read / 1e6
    return (
        f"{outcome.task.group}  {'partial' if ms.missing_subbands else 'converted'}  {ms.subbands} subbands  "
        f"{ms.flagged_fraction:.2%} flagged  {size_mb:.0f} MB in {ms.seconds:.1f} s ({size_mb / ms.seconds:.0f} MB/s)"
    )
