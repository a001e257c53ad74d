"""`contimg reprocess` and `contimg campaigns list|show|compare|pause|resume|cancel|promote|drop|presets`."""

import click

from contimg.cli.shared import as_json_option, by_option, open_store, print_json, print_list, print_record
from contimg.cli.tile.images import parse_mjd
from contimg.common.options import Choice
from contimg.common.units import format_duration, format_flux, format_utc, number_of
from contimg.instrument.time import mjd_to_unix
from contimg.settings import Settings, load
from contimg.store import (
    TILE,
    CampaignComparison,
    CampaignEstimate,
    CampaignRecord,
    ImageFilter,
    NewCampaign,
    Stage,
)
from contimg.store.survey.campaigns.campaigns import check_campaign_name
from contimg.store.survey.campaigns.comparison import ComparedTile
from contimg.survey.campaigns import campaign_directory, drop_campaign, start_campaign
from contimg.survey.campaigns.options import CampaignOptions
from contimg.survey.campaigns.presets import Preset, list_presets, read_preset


@click.command()
@click.option(
    "--from",
    "since_mjd",
    required=True,
    metavar="UTC",
    callback=parse_mjd,
    help="Tiles that begin at or after this time, such as 2026-02-22 or 2026-02-22T03:04.",
)
@click.option(
    "--to", "until_mjd", required=True, metavar="UTC", callback=parse_mjd, help="Tiles that begin before this time."
)
@click.option(
    "--stage", required=True, type=Choice([str(stage) for stage in TILE.stages]), help="First stage that runs again."
)
@click.option("--preset", "preset_name", required=True, metavar="PRESET", help="Name of a preset, or path of its file.")
@click.option("--name", required=True, help="Name of the campaign: a-z, 0-9, _ . and -.")
@click.option("--dry-run", is_flag=True, help="Print what it would cost, and create nothing.")
@by_option
@as_json_option
def reprocess(
    since_mjd: float, until_mjd: float, stage: str, preset_name: str, name: str, dry_run: bool, by: str, as_json: bool
) -> None:
    """Process a span of time again, as a campaign.

    The stream's workers run its jobs while the stream has no work. `contimg campaigns` shows and ends campaigns.
    """
    settings = Settings.from_environment()
    config, preset = load(settings), read_preset(preset_name, settings.state_dir)
    new = NewCampaign(
        check_campaign_name(name), Stage(stage), mjd_to_unix(since_mjd), mjd_to_unix(until_mjd), preset.name,
        preset.options,
    )  # fmt: skip
    with open_store() as store:
        if dry_run:
            jobs_at_once = CampaignOptions.from_environment().jobs_at_once(config.max_workers)
            estimate = store.estimates.estimate(new.stage, new.from_s, new.to_s, new.preset, jobs_at_once)
            print_record(estimate, _estimate_text, as_json=as_json)
            return
        record = start_campaign(store, config, new, by)
    print_record(record, _line, as_json=as_json)


@click.group()
def campaigns() -> None:
    """List, compare, pause, cancel, promote and drop campaigns.

    A campaign is a named reprocessing of a span of time; `contimg reprocess` creates one.
    """


@campaigns.command("list")
@as_json_option
def list_campaigns(as_json: bool) -> None:
    """List campaigns, the newest first."""
    with open_store() as store:
        records = store.campaigns.campaigns().campaigns
    print_list(records, _line, "no campaign", as_json=as_json)


@campaigns.command()
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show progress, preset and products of a campaign."""
    with open_store() as store:
        record = store.campaigns.campaign(name)
        images = store.products.count_images(ImageFilter(processing=name))
    if as_json:
        print_json(record)
        return
    click.echo(_line(record))
    click.echo(f"  created {format_utc(record.created_at)} by {record.created_by}")
    click.echo(f"  {record.state} since {format_utc(record.changed_at)} by {record.changed_by}")
    click.echo(f"  tiles:  {_counts(record.tile_states)}")
    click.echo(f"  epochs: {_counts(record.epoch_states)}")
    click.echo(f"  images: {_counts(images)}")
    click.echo(f"  products: {campaign_directory(load(Settings.from_environment()).output_dir, name)}")
    for variable, value in record.preset.items():
        click.echo(f"  {variable}={value}")


@campaigns.command()
@click.argument("name")
@as_json_option
def compare(name: str, as_json: bool) -> None:
    """Compare noise, flux ratio and grade with the stream by tile.

    A campaign that was promoted is compared with what it replaced.
    """
    with open_store() as store:
        comparison = store.comparisons.compare(name)
    if as_json:
        print_json(comparison)
        return
    for tile in comparison.tiles:
        click.echo(_tile_line(tile))
    click.echo(_summary(comparison))


@campaigns.command()
@click.argument("name")
@by_option
@as_json_option
def pause(name: str, by: str, as_json: bool) -> None:
    """Let no further stage of a campaign begin."""
    with open_store() as store:
        print_record(store.campaigns.pause(name, by), _line, as_json=as_json)


@campaigns.command()
@click.argument("name")
@click.option("--failed", is_flag=True, help="Requeue its failed tiles as well.")
@by_option
@as_json_option
def resume(name: str, failed: bool, by: str, as_json: bool) -> None:
    """Let the stages of a paused campaign begin again."""
    with open_store() as store:
        print_record(store.campaigns.resume(name, by, failed=failed), _line, as_json=as_json)


@campaigns.command()
@click.argument("name")
@by_option
@as_json_option
def cancel(name: str, by: str, as_json: bool) -> None:
    """End a campaign; tiles that wait are discarded, and products stay."""
    with open_store() as store:
        print_record(store.campaigns.cancel(name, by), _line, as_json=as_json)


@campaigns.command()
@click.argument("name")
@by_option
@as_json_option
def promote(name: str, by: str, as_json: bool) -> None:
    """Make the images of a campaign those of the stream.

    What they replace becomes the campaign before-NAME, which can be compared, promoted back and dropped. The epochs of
    the images are made again.
    """
    with open_store() as store:
        print_record(store.promotion.promote(name, by), _line, as_json=as_json)


@campaigns.command()
@click.argument("name")
@by_option
def drop(name: str, by: str) -> None:
    """Delete a campaign with its products.

    Images of a campaign that was promoted are those of the stream, and stay.
    """
    with open_store() as store:
        number = drop_campaign(store, load(Settings.from_environment()), name, by)
    click.echo(f"{name}: dropped, {number_of(number, 'product')}")


@campaigns.command()
@as_json_option
def presets(as_json: bool) -> None:
    """List the presets of the package and of the state directory."""
    listed = list_presets(Settings.from_environment().state_dir).presets
    print_list(listed, _preset_text, "no preset", as_json=as_json)


def _line(record: CampaignRecord) -> str:
    progress = f"{record.done} of {number_of(record.tiles, 'tile')}"
    remaining = f"needs {format_duration(record.remaining_s)} of workers" if record.remaining_s else ""
    span = f"{format_utc(record.from_at)} to {format_utc(record.to_at)}"
    words = (record.name, f"{record.state:<9}", progress, remaining, f"{record.stage}, {record.preset_name}", span)
    return "  ".join(filter(None, words))


def _counts(states: object) -> str:
    numbers = dict(states)  # type: ignore[call-overload]
    return ", ".join(f"{number} {state or 'not graded'}" for state, number in sorted(numbers.items())) or "none"


def _estimate_text(estimate: CampaignEstimate) -> str:
    core_hours, disk, duration_s = estimate.core_hours, estimate.disk_bytes, estimate.duration_s
    lines = [f"tiles       {estimate.tiles}"]
    lines.append("core hours  " + ("unknown: no such stage has run" if core_hours is None else f"{core_hours:.2f}"))
    lines.append("disk        " + ("unknown" if disk is None else f"at most {disk / 1e9:.3g} GB"))
    duration = "unknown" if duration_s is None else f"{format_duration(duration_s)} while the stream is idle"
    lines.append(f"duration    {duration}, {number_of(estimate.jobs_at_once, 'job')} at once")
    lines.append(f"based on    runs of {estimate.based_on}; epochs are not included")
    return "\n".join(lines)


def _tile_line(tile: ComparedTile) -> str:
    noise = " -> ".join("-" if rms is None else format_flux(rms) for rms in (tile.reference_rms_jy, tile.rms_jy))
    ratio = "" if tile.noise_ratio is None else f"({tile.noise_ratio:.2f})"
    fluxes = (tile.reference_flux_ratio, tile.flux_ratio)
    flux = " -> ".join("-" if value is None else f"{value:.3f}" for value in fluxes)
    grades = f"{tile.reference_grade or '-'} -> {tile.grade or '-'}"
    return "  ".join(filter(None, (tile.group, f"noise {noise} {ratio}", f"flux {flux}", grades, tile.error)))


def _summary(comparison: CampaignComparison) -> str:
    ratio = "" if comparison.noise_ratio is None else f", noise {comparison.noise_ratio:.3f} of {comparison.reference}"
    changes = ", ".join(f"{number} {change}" for change, number in sorted(comparison.grade_changes.items()))
    return f"{comparison.compared} of {number_of(comparison.total, 'tile')} compared{ratio}; grades: {changes or '-'}"


def _preset_text(preset: Preset) -> str:
    return "\n".join(
        [f"{preset.name}  ({preset.source})", *(f"  {name}={value}" for name, value in preset.options.items())]
    )
