"""`contimg groups list|show|retry|discard`."""

from collections.abc import Callable

import click

from contimg.cli.shared import as_json_option, limit_option, open_store, print_json, print_list, print_record
from contimg.errors import BadInput
from contimg.options import Choice
from contimg.store import FileState, GroupFilter, GroupRecord, Stage, StageRunRecord, State, Store
from contimg.store.files.detail import read_detail
from contimg.units import format_utc
from workers.scheduling.group_list import list_groups as list_group_records


@click.group()
def groups() -> None:
    """List, show, retry and discard groups of subband files."""


@groups.command("list")
@click.option("--state", type=Choice([state.value for state in State]), help="List groups in this state only.")
@limit_option(20)
@as_json_option
def list_groups(state: str | None, limit: int, as_json: bool) -> None:
    """List groups, latest observed first."""
    with open_store() as store:
        records = list_group_records(store, GroupFilter(state=State(state) if state else None), limit).groups
    print_list(records, _line, "no groups" if state is None else f"no group is {state}", as_json=as_json)


@groups.command()
@click.argument("group")
@as_json_option
def show(group: str, as_json: bool) -> None:
    """Show files, attempts, products and events of a group."""
    with open_store() as store:
        detail = read_detail(store, group)
    if detail is None:
        raise BadInput(f"group {group}: not in the store; `contimg groups list` lists those that are")
    if as_json:
        print_json(detail)
        return
    click.echo(_line(detail))
    for file in detail.files:
        if file.state != FileState.PRESENT:
            click.echo(f"  {file.path}  {file.state}: {file.reason or 'not used'}")
    for run in detail.runs:
        click.echo(f"  {_run_line(run)}")
    ms, image = detail.measurement_set, detail.image
    for path in filter(None, (ms and ms.path, image and image.fits_path, image and image.png_path)):
        click.echo(f"  {path}")
    for event in reversed(detail.events):
        click.echo(f"  {format_utc(event.at)}  {event.level:<7}  {event.text}")


@groups.command()
@click.argument("group")
@click.option(
    "--stage",
    type=Choice([stage.value for stage in Stage]),
    help="First stage to run.  [default: the stage at which the group stopped]",
)
@as_json_option
def retry(group: str, stage: str | None, as_json: bool) -> None:
    """Requeue a failed, discarded or completed group."""
    _change(group, lambda store: store.jobs.retry(group, stage=Stage(stage) if stage else None), as_json)


@groups.command()
@click.argument("group")
@as_json_option
def discard(group: str, as_json: bool) -> None:
    """Exclude a group from processing.

    Its files stay; `contimg groups retry` requeues it.
    """
    _change(group, lambda store: store.jobs.discard(group), as_json)


def _change(group: str, change: Callable[[Store], object], as_json: bool) -> None:
    """Change a group and print it."""
    with open_store() as store:
        change(store)
        detail = read_detail(store, group)
    if detail:
        print_record(detail, _line, as_json=as_json)


def _line(group: GroupRecord) -> str:
    state = group.state if group.state in (State.COLLECTING, State.COMPLETED) else f"{group.state} {group.stage}"
    subbands = f"{len(group.subbands):2d} subbands{' partial' if group.partial else ''}"
    return "  ".join(filter(None, (group.id, f"{state:<21}", subbands, group.error)))


def _run_line(run: StageRunRecord) -> str:
    duration = "" if run.seconds is None else f"{run.seconds:.1f} s"
    stage, outcome = f"{run.stage} {run.attempt}", run.outcome or "running"
    return "  ".join(filter(None, (format_utc(run.started_at), stage, outcome, duration, run.owner, run.error)))
