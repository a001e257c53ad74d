"""`contimg groups list|show|retry|discard`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from contimg.cli.listing import as_json_option, limit_option, print_json, print_list

from contimg.errors import BadInput
from contimg.store import FileState, GroupRecord, Stage, StageRunRecord, State, Store, configured_store


@click.group()
def groups() -> None:
    """Groups of subband files: where each stands, and another try for one that failed."""


@groups.command("list")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only groups in this state.")
@limit_option(20, "At most so many, the latest observed first.")
@as_json_option
def list_groups(state: str | None, limit: int, as_json: bool) -> None:
    """List groups, the latest observed first."""
    with configured_store() as store:
        found = store.files.groups(State(state) if state else None, limit)
    print_list(found, _line, "no groups" if state is None else f"no group is {state}", as_json=as_json)


@groups.command()
@click.argument("group")
@as_json_option
def show(group: str, as_json: bool) -> None:
    """Show one group: its files, every attempt at each stage, its products, what happened."""
    with configured_store() as store:
        record = store.files.group(group)
        if record is None:
            raise BadInput(f"group {group}: not in the store; `contimg groups list` shows those that are")
        files, runs = store.files.of_group(group), store.jobs.runs(group)
        made, image = store.products.measurement_set(group), store.products.image_of(group)
        events = store.events.last(50, group=group)[::-1]
    if as_json:
        whole: dict[str, Any] = asdict(record)
        whole["files"] = [asdict(one) for one in files]
        whole["runs"] = [asdict(one) for one in runs]
        whole["events"] = [asdict(one) for one in events]
        whole["measurement_set"] = asdict(made) if made else None
        whole["image"] = asdict(image) if image else None
        print_json(whole)
        return
    click.echo(_line(record))
    for file in files:
        if file.state != FileState.PRESENT:
            click.echo(f"  {file.path}  {file.state}: {file.reason or 'not used'}")
    for run in runs:
        click.echo(f"  {_run_line(run)}")
    for path in filter(None, (made and made.path, image and image.fits_path, image and image.png_path)):
        click.echo(f"  {path}")
    for event in events:
        click.echo(f"  {_when(event.at)}  {event.level:<7}  {event.text}")


@groups.command()
@click.argument("group")
@click.option(
    "--stage",
    type=click.Choice([stage.value for stage in Stage]),
    help="From this stage on; without it, where the group stopped.",
)
def retry(group: str, stage: str | None) -> None:
    """Put a failed or discarded group back in the queue; make a completed one again."""
    with configured_store() as store:
        store.jobs.retry(group, stage=Stage(stage) if stage else None)
        _print_group(store, group)


@groups.command()
@click.argument("group")
def discard(group: str) -> None:
    """Take a group out of the stream. Its files stay where they are; `retry` brings it back."""
    with configured_store() as store:
        store.jobs.discard(group)
        _print_group(store, group)


def _print_group(store: Store, group: str) -> None:
    record = store.files.group(group)
    if record is not None:
        click.echo(_line(record))


def _line(one: GroupRecord) -> str:
    """One group on one line: id, state, stage, subbands, error."""
    word = one.state if one.state in (State.COLLECTING, State.COMPLETED) else f"{one.state} {one.stage}"
    parts = [one.id, f"{word:<21}", f"{len(one.subbands):2d} subbands{' partial' if one.partial else ''}"]
    return "  ".join([*parts, one.error] if one.error else parts)


def _run_line(run: StageRunRecord) -> str:
    """One attempt on one line: when, stage and attempt, outcome, seconds, worker, error."""
    took = "" if run.seconds is None else f"{run.seconds:.1f} s"
    parts = (_when(run.started_at), f"{run.stage} {run.attempt}", run.outcome or "running", took, run.owner, run.error)
    return "  ".join(part for part in parts if part)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
