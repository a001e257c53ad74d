"""`contimg epochs list|show|retry|make|sky`."""

import click

from contimg.cli.shared import as_json_option, by_option, limit_option, open_store, print_json, print_list, print_record
from contimg.cli.tile.images import parse_mjd
from contimg.common.options import Choice
from contimg.common.units import format_utc, number_of
from contimg.epoch.hips import DIRECTORY, SurveyUpdate, update_survey
from contimg.settings import Settings, load
from contimg.store import EPOCH, EpochRecord, JobRecord, Stage, State


@click.group()
def epochs() -> None:
    """List, show, retry and make epochs; show the sky they cover.

    An epoch is a sidereal window of one declination strip on one day, about 12 tiles.
    """


@epochs.command("list")
@click.option("--state", type=Choice([state.value for state in State]), help="List epochs in this state only.")
@limit_option(20)
@as_json_option
def list_epochs(state: str | None, limit: int, as_json: bool) -> None:
    """List epochs, latest observed first."""
    with open_store() as store:
        listed = store.epochs.list_epochs(limit, state=State(state) if state else None).epochs
    print_list(listed, _line, "no epoch", as_json=as_json)


@epochs.command()
@click.argument("epoch")
@as_json_option
def show(epoch: str, as_json: bool) -> None:
    """Show tiles, attempts and mosaic of an epoch."""
    with open_store() as store:
        record = store.epochs.epoch(epoch)
        runs, mosaic = store.jobs.runs(record.job_id), store.mosaics.mosaic_of(record.job_id)
    if as_json:
        print_json({"epoch": record, "mosaic": mosaic, "runs": runs})
        return
    click.echo(_line(record))
    click.echo(f"  window: {format_utc(record.window_start_at)} to {format_utc(record.window_end_at)}")
    for tile in record.tiles:
        click.echo(f"  {tile.group}  {tile.grade or 'not graded':<10}  {tile.fits_path}")
    for group in record.waiting_tiles:
        click.echo(f"  {group}  not imaged yet")
    for run in runs:
        words = (format_utc(run.started_at), f"{run.stage} {run.attempt}", run.outcome or "running", run.error)
        click.echo("  " + "  ".join(filter(None, words)))
    if mosaic is not None:
        click.echo(f"  {mosaic.fits_path}")
        click.echo(f"  noise {1e3 * mosaic.rms_jy:.3f} mJy/beam, predicted {1e3 * mosaic.expected_rms_jy:.3f} mJy/beam")
        for text in mosaic.verdict_reasons:
            click.echo(f"  {mosaic.verdict}: {text}")
        for omitted in mosaic.omitted:
            click.echo(f"  {omitted.fits_path}: left out: {omitted.reason}")


@epochs.command()
@click.argument("epoch")
@click.option(
    "--stage",
    type=Choice([str(stage) for stage in EPOCH.stages]),
    help="Start at this stage: `measure` leaves the mosaic as it is.",
)
@by_option
@as_json_option
def retry(epoch: str, stage: str | None, by: str, as_json: bool) -> None:
    """Process a failed, discarded or completed epoch again.

    Without --stage a failed or discarded one continues where it stopped, and the mosaic of a completed one is made
    again. An epoch of one tile, which the stream leaves out, is made in this way.
    """
    with open_store() as store:
        job = store.jobs.retry(store.epochs.epoch(epoch).job_id, stage=Stage(stage) if stage else None, by=by)
    if as_json:
        print_json(job)
    else:
        click.echo(f"{job.key}: pending")


@epochs.command()
@click.option(
    "--from",
    "since_mjd",
    required=True,
    metavar="UTC",
    callback=parse_mjd,
    help="Tiles observed at or after this time, such as 2026-02-22 or 2026-02-22T03:04.",
)
@click.option("--to", "until_mjd", required=True, metavar="UTC", callback=parse_mjd, help="Tiles observed before it.")
@click.option("--declination", type=float, help="Only the strip of this apparent declination, deg.")
@by_option
@as_json_option
def make(since_mjd: float, until_mjd: float, declination: float | None, by: str, as_json: bool) -> None:
    """Queue the epochs of the tile images in the store.

    Those that have a mosaic of the same images are left as they are. The stream makes the mosaics.
    """
    with open_store() as store:
        jobs = store.epochs.request(since_mjd, until_mjd, declination, by=by)
    print_list(jobs, _job_line, "no epoch to make", as_json=as_json)


@epochs.command()
@click.option(
    "--rebuild", is_flag=True, help="Build it from the good mosaics alone, and replace the old one at the end."
)
@as_json_option
def sky(rebuild: bool, as_json: bool) -> None:
    """Bring the HiPS of the sky up to date with the good mosaics.

    The stream does so by itself. Mosaics that are new or were made again are added, those that are no longer graded
    good removed; the HiPS is the directory `hips` of the products.
    """
    with open_store() as store:
        mosaics = store.mosaics.graded()
    directory = load(Settings.from_environment()).output_dir / DIRECTORY
    changes = update_survey(directory, mosaics.good, mosaics.rejected, rebuild=rebuild)
    for reason in changes.unusable.values():
        click.echo(f"contimg: left out {reason}", err=True)
    print_record(changes, _sky_line, as_json=as_json)


def _sky_line(changes: SurveyUpdate) -> str:
    counts = f"{len(changes.added)} added, {len(changes.removed)} removed, {number_of(changes.mosaics, 'mosaic')}"
    order = "empty" if changes.order is None else f"order {changes.order}, {changes.area_deg2:.1f} deg2"
    return f"{changes.directory}: {counts}; {order}"


def _job_line(job: JobRecord) -> str:
    return f"{job.key}  {job.state}"


def _line(epoch: EpochRecord) -> str:
    tiles = number_of(epoch.tile_count, "tile")
    waiting = f"waits for {len(epoch.waiting_tiles)}" if epoch.waiting_tiles else ""
    return "  ".join(filter(None, (epoch.id, f"{epoch.state:<11}", tiles, waiting, epoch.grade, epoch.error)))
