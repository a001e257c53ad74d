"""`contimg sources`: sources of the sky, their light curves, exports, and candidates."""

from pathlib import Path

import click

from contimg.cli.shared import PATH, as_json_option, by_option, limit_option, open_store, print_json, print_list
from contimg.cli.tile.images import parse_mjd
from contimg.common.errors import BadInput
from contimg.common.options import Choice
from contimg.common.units import format_flux, format_position, format_utc
from contimg.instrument.time import mjd_to_unix
from contimg.store import LIVE, CandidateState
from contimg.store.sky.export import ExportFilter
from contimg.store.sky.records import CandidateRecord, Measurement, SourceRecord

_STATES = tuple(state.value for state in CandidateState)
processing_option = click.option(
    "--processing", default=LIVE, show_default=True, help="Processing of the measurements: live or a campaign's name."
)


@click.group()
def sources() -> None:
    """List, show, export and add sources; candidates.

    A source has a measurement in every epoch that covers it, and a light curve of one point for each sidereal day.
    """


@sources.command("list")
@click.option("--name", default="", help="Sources whose name, or id in a catalogue, holds this text.")
@click.option("--min-eta", type=float, help="Least η.")
@click.option("--min-v", type=float, help="Least V (modulation index).")
@click.option("--min-n", type=click.IntRange(min=0), default=0, help="Fewest measurements that are counted.")
@click.option(
    "--cone",
    type=(float, float, float),
    metavar="RA DEC RADIUS",
    help="Sources around a position (deg), nearest first.",
)
@processing_option
@limit_option(20)
@as_json_option
def list_sources(
    name: str, min_eta: float | None, min_v: float | None, min_n: int, cone: tuple[float, float, float] | None,
    processing: str, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List sources, the most variable first."""
    if cone and (name or min_eta is not None or min_v is not None or min_n):
        raise click.UsageError("--cone goes with --limit and --processing only")
    with open_store() as store:
        listed = (
            store.sky.cone(*cone, processing, limit=limit)
            if cone
            else store.sky.sources(
                limit, processing, name=name, min_eta=min_eta, min_modulation_index=min_v, min_n=min_n
            ).sources
        )
    print_list(listed, _line, "no source", as_json=as_json)


@sources.command()
@click.argument("source")
@click.option("--all", "show_all", is_flag=True, help="Also measurements that the statistics do not use.")
@processing_option
@as_json_option
def show(source: str, show_all: bool, processing: str, as_json: bool) -> None:
    """Show statistics and light curve of a source.

    SOURCE is its number, its name, or its id in a catalogue.
    """
    with open_store() as store:
        record = store.sky.source(_number_or_name(source), processing)
        curve = store.sky.light_curve(record.id, processing, counted_only=not show_all)
    if as_json:
        print_json(curve)
        return
    click.echo(_line(record))
    for catalogue, identifier in sorted(record.identifiers.items()):
        click.echo(f"  {catalogue}: {identifier}")
    if record.variability is not None:
        numbers = record.variability
        click.echo(
            f"  mean {format_flux(numbers.weighted_mean_jy or 0.0)}, Vs {_number(numbers.vs)}, m {_number(numbers.m)}"
        )
    for point in curve.measurements:
        click.echo(_point_line(point))


@sources.command()
@click.argument("target", type=PATH, metavar="OUT")
@click.option("--cone", type=(float, float, float), metavar="RA DEC RADIUS", help="Sources around a position (deg).")
@click.option("--from", "since_mjd", metavar="UTC", callback=parse_mjd, help="Observed at or after this time.")
@click.option("--to", "until_mjd", metavar="UTC", callback=parse_mjd, help="Observed before this time.")
@click.option("--counted", is_flag=True, help="Only the points of the light curves: one for each sidereal day.")
@click.option("--statistics", is_flag=True, help="One row for each source, with its statistics.")
@processing_option
def export(
    target: Path, cone: tuple[float, float, float] | None, since_mjd: float | None, until_mjd: float | None,
    counted: bool, statistics: bool, processing: str,
) -> None:  # fmt: skip
    """Export measurements as a table.

    OUT ends in .parquet, .vot (VOTable) or .csv. The rows are in the order of sources and times. The table is written
    in batches: its size is not limited by the memory.
    """
    if statistics and (since_mjd is not None or until_mjd is not None or counted):
        raise click.UsageError("--statistics are of all times; give it without --from, --to and --counted")
    chosen = ExportFilter(processing, cone, since_mjd, until_mjd, counted)
    with open_store() as store:
        rows = store.sky.export(target, chosen, statistics_only=statistics)
    click.echo(f"{target}: {rows} rows")


@sources.command(context_settings={"ignore_unknown_options": True})
@click.argument("ra_deg", metavar="RA", type=click.FloatRange(0, 360))
@click.argument("dec_deg", metavar="DEC", type=click.FloatRange(-90, 90))
@click.option("--name", default="", help="Name of the source.  [default: from its position]")
@processing_option
@by_option
@as_json_option
def add(ra_deg: float, dec_deg: float, name: str, processing: str, by: str, as_json: bool) -> None:
    """Add a source and measure it in the mosaics on disk.

    RA and DEC are degrees (ICRS). Later epochs measure it with the others. A source that exists at this position is
    measured again where it is.
    """
    with open_store() as store:
        near = store.sky.cone(ra_deg, dec_deg, 1 / 3600, processing, limit=1)
        if near and name not in ("", near[0].name):
            raise BadInput(f"{name}: {near[0].name} is at this position already; give its name, or no --name")
        source = near[0] if near else store.sky.add_source(ra_deg, dec_deg, name=name, by=by)
        report = store.sky.measure_back([source.id], processing)
        source = store.sky.source(source.id, processing)
    if as_json:
        print_json({"source": source, "epochs": report})
        return
    click.echo(_line(source))
    click.echo(
        f"  measured in {report.measured} epochs; {report.outside} do not cover it, the mosaics of "
        f"{report.missing} are not on disk"
    )


@sources.command()
@click.option("--state", type=Choice(_STATES), help="Candidates in this state.")
@limit_option(20)
@as_json_option
def candidates(state: str | None, limit: int, as_json: bool) -> None:
    """List candidates of variable and new sources, latest first."""
    with open_store() as store:
        listed = store.sky.candidates(state=CandidateState(state) if state else None, limit=limit)
    print_list(listed, _candidate_line, "no candidate", as_json=as_json)


@sources.command()
@click.argument("candidate", type=int)
@click.argument("state", type=Choice(_STATES))
@click.option("--note", default="", help="Why.")
@by_option
@as_json_option
def decide(candidate: int, state: str, note: str, by: str, as_json: bool) -> None:
    """Set the state of a candidate, with a note.

    STATE is new, watching, confirmed, dismissed or withdrawn.
    """
    with open_store() as store:
        record = store.sky.set_candidate_state(candidate, CandidateState(state), note, by)
    if as_json:
        print_json(record)
    else:
        click.echo(_candidate_line(record))


def _number_or_name(source: str) -> int | str:
    return int(source) if source.isdecimal() else source


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _line(source: SourceRecord) -> str:
    numbers = source.variability
    text = f"{source.id:>7}  {source.name:<20}  {format_position(source.ra_deg, source.dec_deg)}"
    if source.separation_deg is not None:
        text += f"  {3600 * source.separation_deg:.1f} arcsec"
    if numbers is None:
        return f"{text}  no measurement"
    eta, v = _number(numbers.eta), _number(numbers.modulation_index)
    return f"{text}  {format_flux(numbers.weighted_mean_jy or 0.0):>9}  N {numbers.n:>4}  η {eta:>6}  V {v:>6}"


def _point_line(point: Measurement) -> str:
    time = format_utc(mjd_to_unix(point.mjd))
    flags = ", ".join(point.flags)
    if point.flux_jy is None or point.flux_error_jy is None:
        return f"  {time}  {point.epoch:<24}  no data  {flags}"
    flux, error = 1e3 * point.flux_jy, 1e3 * point.flux_error_jy
    notes = "" if point.is_counted else "not counted"
    words = "  ".join(filter(None, (f"{flux:9.3f} +- {error:.3f} mJy", flags, notes)))
    return f"  {time}  {point.epoch:<24}  {words}"


def _candidate_line(candidate: CandidateRecord) -> str:
    time = format_utc(mjd_to_unix(candidate.mjd))
    return (
        f"{candidate.id:>5}  {candidate.source_name:<20}  {time}  {candidate.kind:<8}  {candidate.state:<9}  "
        f"{candidate.reason}"
    )
