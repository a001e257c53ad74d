"""`contimg groups list|show|retry|discard` and `contimg attention list|retry|discard|acknowledge`."""

from collections.abc import Callable

import click

from contimg.cli.shared import (
    as_json_option,
    by_option,
    limit_option,
    open_store,
    print_json,
    print_list,
    print_record,
)
from contimg.common.errors import BadInput
from contimg.common.options import Choice
from contimg.common.units import format_utc
from contimg.store import TILE, AttentionItem, FileState, GroupFilter, GroupRecord, Stage, StageRunRecord, State, Store
from contimg.store.files.detail import read_detail
from workers.scheduling.group_list import list_groups as list_group_records


@click.group()
def groups() -> None:
    """List, show, retry and discard groups of subband files."""


@groups.command("list")
@click.option("--state", type=Choice([state.value for state in State]), help="List groups in this state only.")
@click.option(
    "--has-calibrator/--no-calibrator", default=None, help="With, or without, a calibrator in the primary beam."
)
@limit_option(20)
@as_json_option
def list_groups(state: str | None, has_calibrator: bool | None, limit: int, as_json: bool) -> None:
    """List groups, latest observed first."""
    conditions = GroupFilter(state=State(state) if state else None)
    with open_store() as store:
        records = list_group_records(store, conditions, limit, has_calibrator=has_calibrator).groups
    print_list(records, _line, "no group", as_json=as_json)


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
    click.echo(f"  usable subbands: {', '.join(map(str, detail.subbands)) or 'none'}")
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
    type=Choice([stage.value for stage in TILE.stages]),
    help="First stage to run.  [default: the stage at which the group stopped]",
)
@click.option("--force", is_flag=True, help="Retry a group with fewer subbands than CONTIMG_MIN_SUBBANDS as well.")
@by_option
@as_json_option
def retry(group: str, stage: str | None, force: bool, by: str, as_json: bool) -> None:
    """Requeue a failed, discarded or completed group."""
    first = Stage(stage) if stage else None
    _change(group, lambda store: store.jobs.retry(group, stage=first, by=by, force=force), as_json)


@groups.command()
@click.argument("group")
@by_option
@as_json_option
def discard(group: str, by: str, as_json: bool) -> None:
    """Exclude a group from processing.

    Its files stay; `contimg groups retry` requeues it.
    """
    _change(group, lambda store: store.jobs.discard(group, by=by), as_json)


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


@click.group()
def attention() -> None:
    """List the reasons of failures; act on all of one reason.

    A reason is that of failed groups or of quarantined files.
    """


@attention.command("list")
@as_json_option
def list_reasons(as_json: bool) -> None:
    """List the reasons with what to do.

    Those that are not acknowledged come first.
    """
    with open_store() as store:
        items = store.attention.items()
    print_list(items, _reason_line, "nothing needs attention", as_json=as_json)


@attention.command("retry")
@click.argument("key")
@click.option("--force", is_flag=True, help="Retry groups with fewer subbands than CONTIMG_MIN_SUBBANDS as well.")
@by_option
def retry_reason(key: str, force: bool, by: str) -> None:
    """Requeue the groups of a reason.

    Its files are examined again by the next scan.
    """
    with open_store() as store:
        click.echo(store.attention.retry(key, by=by, force=force))


@attention.command("discard")
@click.argument("key")
@by_option
def discard_reason(key: str, by: str) -> None:
    """Exclude the groups of a reason from processing.

    Quarantined files of the reason are no longer listed. Every file stays on disk.
    """
    with open_store() as store:
        click.echo(store.attention.discard(key, by=by))


@attention.command("acknowledge")
@click.argument("key")
@by_option
def acknowledge_reason(key: str, by: str) -> None:
    """Record that an operator attends to a reason.

    It counts as new again when another group or file has it.
    """
    with open_store() as store:
        click.echo(f"acknowledged: {store.attention.acknowledge(key, by).label}")


def _reason_line(item: AttentionItem) -> str:
    span = " to ".join(dict.fromkeys((format_utc(item.began_at), format_utc(item.last_at))))
    note = f"  (acknowledged by {item.acknowledged_by})" if item.acknowledged_by else ""
    return f"{item.key}  {span}  {item.label}{note}\n    {item.what_to_do} ({item.section})"
