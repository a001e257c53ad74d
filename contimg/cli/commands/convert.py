"""`contimg convert INPUT_DIR OUTPUT_DIR START END`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from contimg.errors import BadInput
from contimg.formats.uvh5.grouping import find_groups, seconds_of
from contimg.instrument.dsa110 import BAND
from contimg.options import flags, from_flags
from contimg.tile.convert import ConvertOptions, batch


def moment(text: str) -> float:
    """Epoch seconds of a UTC time in any ISO 8601 form; a time without a zone is UTC."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-02-22T23:17:51") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("input_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
@click.argument("start", type=moment)
@click.argument("end", type=moment)
@click.option(
    "--min-subbands", type=click.IntRange(min=1), help="Convert a group that has at least these.  [default: all]"
)
@click.option("--dry-run", is_flag=True, help="Say what would be converted, and convert nothing.")
@click.option("--skip-existing", is_flag=True, help="Leave out groups whose Measurement Set is there already.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Groups to convert at a time.")
@click.option(
    "--room",
    "scratch",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write in this directory (a tmpfs, a scratch disk) if there is room, then move. May be given several times.",
)
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
    **given: Any,
) -> None:
    """Convert the groups in INPUT_DIR whose time lies from START to END (UTC) to OUTPUT_DIR/<group>.ms.

    A bad file is named and left out; its group is converted without it when enough others remain. The exit status is
    0 when every group was converted, 3 when one was not.
    """
    options = from_flags(ConvertOptions, given)
    subbands = options.plan.subbands if options.plan else BAND.subbands
    least = min_subbands or subbands
    chosen = {name: files for name, files in find_groups(input_dir).items() if start <= seconds_of(name) <= end}
    if not chosen:
        raise BadInput(f"{input_dir}: no group of subband files between these times; check START and END (UTC)")
    tasks = [
        batch.ConvertTask(name, files, output_dir / f"{name}.ms", least, subbands, scratch)
        for name, files in chosen.items()
    ]
    waiting = [task for task in tasks if not (skip_existing and task.target.exists())]
    if dry_run:
        _say_plan(tasks, waiting)
        return
    outcomes = _with_progress(batch.convert_groups(waiting, options, jobs), len(waiting))
    skipped = [task.group for task in tasks if task not in waiting]
    Console().print(_summary(sorted(outcomes, key=lambda one: one.task.group), skipped))
    failed = sum(one.product is None for one in outcomes)
    if failed:
        raise BadInput(f"{failed} of {len(chosen)} groups were not converted; the lines above say why")


def _say_plan(tasks: list[batch.ConvertTask], waiting: list[batch.ConvertTask]) -> None:
    for task in tasks:
        size_mb = sum(path.stat().st_size for path in task.files.values()) / 1e6
        if task not in waiting:
            what = "is there already"
        elif len(task.files) < task.min_subbands:
            what = "too few subbands"
        else:
            what = f"to {task.target}"
        click.echo(f"{task.group}  {len(task.files)} of {task.subbands} subbands  {size_mb:.0f} MB  {what}")


def _with_progress(outcomes: Iterable[batch.ConvertOutcome], total: int) -> list[batch.ConvertOutcome]:
    """Collect the outcomes with a bar that estimates the time left, and say at once what went wrong."""
    found = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("converting", total=total)
        for one in outcomes:
            found.append(one)
            progress.advance(bar)
            lines = [f"left out {reason}" for reason in one.left_out]
            lines += [f"group {one.task.group}: {one.error}"] if one.error else []
            for line in lines:
                console.print(f"contimg: {line}", highlight=False, markup=False, soft_wrap=True)
    return found


def _summary(outcomes: list[batch.ConvertOutcome], skipped: list[str]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("group", "result", "subbands", "flagged", "MB", "s", "MB/s"):
        table.add_column(heading, justify="left" if heading in ("group", "result") else "right")
    for one in outcomes:
        made = one.product
        if made is None:
            table.add_row(one.task.group, "[bold red]failed[/]", str(len(one.task.files)))
            continue
        size_mb = made.bytes_read / 1e6
        table.add_row(
            one.task.group, "[yellow]partial[/]" if made.missing_subbands else "[green]converted[/]",
            str(made.subbands),
            f"{made.flagged_fraction:.2%}", f"{size_mb:.0f}", f"{made.seconds:.1f}", f"{size_mb / made.seconds:.0f}",
        )  # fmt: skip
    for name in skipped:
        table.add_row(name, "[dim]there already[/]")
    return table
