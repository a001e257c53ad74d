"""`contimg recalibrate`: make again the tiles that a late, better calibration set would change."""

from pathlib import Path

import click

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import read_ms_info
from contimg.store import Outdated, Stage, State, Store, configured_store
from contimg.tile.calibrate.caltable_selection import select_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions


@click.command()
@click.argument("groups", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say which tiles would change.")
def recalibrate(groups: tuple[str, ...], dry_run: bool) -> None:
    """Put the tiles that a better set would change (or only GROUPS of them) back in the queue from calibrate on."""
    strip_deg = CalibrateOptions.from_environment().strip_deg
    with configured_store() as store:
        marked = [one for one in store.registry.outdated(strip_deg) if not groups or one.group in groups]
        for one in marked:
            click.echo(f"{one.group}  {one.applied or 'uncalibrated'} -> {_again(store, one, strip_deg, dry_run)}")
    if not marked:
        click.echo("no tile would change")


def _again(store: Store, one: Outdated, strip_deg: float, dry_run: bool) -> str:
    """What becomes of one tile, in words; the Measurement Set itself decides whether the better set fits."""
    group = store.files.group(one.group)
    if group is None or group.state not in (State.COMPLETED, State.FAILED):
        return f"{one.better}: the group is {group.state if group else 'gone'}, left alone"
    start = Stage.CALIBRATE
    try:
        tile = read_ms_info(one.path)
    except BadInput:
        start = Stage.CONVERT  # the Measurement Set was cleared away; its files may still be there
    else:
        sets = [_read(record.tables[0].path) for record in store.registry.valid_at(tile.mid_mjd_s / 86400.0)]
        chosen, why = select_caltable_set([found for found in sets if found], tile, strip_deg)
        if chosen is None or chosen.name != one.better:
            return f"{one.better} does not fit it ({why}), left alone"
    if not dry_run:
        try:
            store.jobs.retry(one.group, stage=start)
        except BadInput as error:
            return f"{one.better}: {error}"
    return f"{one.better}, from {start}"


def _read(path: Path) -> CaltableSet | None:
    try:
        return CaltableSet.read(path.parent)
    except BadInput:
        return None
