"""`contimg calibrations list|show|retire|import`, `recalibrate`, `calibrators` and `beam measure|install|show`."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import click
import numpy as np

from contimg.cli.shared import (
    PATH,
    as_json_option,
    by_option,
    limit_option,
    open_store,
    print_json,
    print_list,
    print_record,
)
from contimg.common.errors import BadInput
from contimg.common.files.writing import write_text
from contimg.common.units import format_utc
from contimg.instrument.beam_table import (
    ALWAYS_MJD,
    BeamEntry,
    install_entry,
    read_entries,
    read_measurement,
    table_path,
)
from contimg.instrument.calibrators import Calibrator, Transit, catalogue, cone_search, find_calibrator, transits
from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import mjd_to_unix
from contimg.quality.caltables import SolutionLimits
from contimg.settings import Settings, load
from contimg.store import OutdatedTile, Stage, State, Store, StoredCaltableSet
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.convert.options import ConvertOptions


@click.group()
def calibrations() -> None:
    """List, show, retire and import caltable sets."""


@calibrations.command("list")
@limit_option(30)
@as_json_option
def list_sets(limit: int, as_json: bool) -> None:
    """List caltable sets, latest observed first."""
    with open_store() as store:
        records = store.registry.sets(limit)
    none = "no caltable set: a calibrator's transit or `contimg calibrations import` adds one"
    print_list(records, _line, none, as_json=as_json)


@calibrations.command()
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show the grade, tables, numbers and plots of a caltable set."""
    with open_store() as store:
        record = store.registry.set_named(name)
    if record is None:
        raise BadInput(f"caltable set {name}: not in the registry; `contimg calibrations list` lists all")
    if as_json:
        print_json(record)
        return
    click.echo(_line(record))
    click.echo(f"  bandpass     valid {_format_mjd(record.valid_from_mjd)} to {_format_mjd(record.valid_to_mjd)}")
    if record.gains_valid_from_mjd is not None and record.gains_valid_to_mjd is not None:
        gains = f"{_format_mjd(record.gains_valid_from_mjd)} to {_format_mjd(record.gains_valid_to_mjd)}"
        click.echo(f"  gains        valid {gains}")
    click.echo(f"  reference    {record.reference_antenna or 'unknown'}")
    for reason in record.reasons:
        click.echo(f"  {record.grade}      {reason}")
    for key, value in record.quality.items():
        if not isinstance(value, dict):
            click.echo(f"  {key:<22} {value:.4g}" if isinstance(value, float) else f"  {key:<22} {value}")
    for antenna, reason in record.quality.get("without_fringes", {}).items():
        click.echo(f"  antenna {antenna}: {reason}")
    for table, numbers in record.quality.get("tables", {}).items():
        click.echo(f"  {table}")
        for key, value in numbers.items():
            text = ", ".join(value) or "none" if isinstance(value, list) else _format_number(value)
            click.echo(f"    {key:<20} {text}")
    for path in (*(table.path for table in record.tables), *sorted(record.tables[0].path.parent.glob("*.png"))):
        click.echo(f"  {path}")


@calibrations.command()
@click.argument("name")
@click.option("--reason", default="retired", show_default=True, help="Reason kept in the registry.")
@by_option
@as_json_option
def retire(name: str, reason: str, by: str, as_json: bool) -> None:
    """Retire a caltable set; its tables stay.

    `contimg recalibrate` then requeues the tiles that it calibrated.
    """
    with open_store() as store:
        store.registry.retire(name, reason, by=by)
        record = store.registry.set_named(name)
    print_record(record, _line, as_json=as_json)


@calibrations.command("import")
@click.argument("tables", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the set.  [default: the bandpass's file name]")
@click.option("--calibrator", help="Name of the observed source.  [default: the table's field]")
@click.option("--dec", "dec_deg", type=float, help="Pointing declination, ICRS, degrees.")
@click.option("--replace", is_flag=True, help="Replace the caltable set of that name; without it nothing is replaced.")
@by_option
@as_json_option
def import_tables(
    tables: tuple[Path, ...], name: str | None, calibrator: str | None, dec_deg: float | None, replace: bool,
    by: str, as_json: bool,
) -> None:  # fmt: skip
    """Import CASA tables into the registry as a caltable set.

    TABLES are one of type B, and optionally one of type G and one of type K.
    """
    from contimg.tile.calibrate.import_tables import import_set

    paths = [Path(str(table).rstrip("/")) for table in tables]
    directory = load(Settings.from_environment()).output_dir / "calibration"
    options, limits = CalibrateOptions.from_environment(), SolutionLimits.from_environment()
    name = name or paths[0].stem
    with open_store() as store:
        if not replace and store.registry.set_named(name):
            raise BadInput(f"caltable set {name}: in the registry; --replace replaces it; or give another --name")
        caltables = import_set(
            paths, name, directory, options, limits, calibrator=calibrator, dec_deg=dec_deg, replace_existing=replace,
            own_telescope=ConvertOptions.from_environment().own_telescope,
        )  # fmt: skip
        store.registry.register(caltables)
        store.events.add(f"calibration imported by {by}: {', '.join(path.name for path in paths)}", author=by)
        record = store.registry.set_named(caltables.name)
    if as_json:
        print_json(record)
        return
    click.echo(_line(record))
    for file_name, numbers in caltables.quality["tables"].items():
        if numbers["without_solution"]:
            click.echo(f"  {file_name}  no solution for {', '.join(numbers['without_solution'])}")


def _line(record: StoredCaltableSet | None) -> str:
    if record is None:
        return ""
    strip = "any strip" if record.dec_deg is None else f"dec {record.dec_deg:+.2f}"
    retired = f"retired: {record.retired}" if record.retired else ""
    retired = f"superseded by {record.superseded_by}" if record.superseded_by else retired
    parts = (record.name, _format_mjd(record.mjd), f"{record.calibrator:<10}", strip, f"{record.grade:<8}", retired)
    return "  ".join(filter(None, parts)).rstrip()


def _format_number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _format_mjd(mjd: float) -> str:
    return format_utc(mjd_to_unix(mjd), "%Y-%m-%d %H:%MZ")


@click.command()
@click.argument("groups", nargs=-1)
@click.option("--dry-run", is_flag=True, help="List the tiles without requeueing them.")
@by_option
@as_json_option
def recalibrate(groups: tuple[str, ...], dry_run: bool, by: str, as_json: bool) -> None:
    """Requeue tiles that a better caltable set would change.

    All such tiles, or those of GROUPS, are processed again from the calibrate stage on.
    """
    options = CalibrateOptions.from_environment()
    with open_store() as store:
        tiles = [
            tile
            for tile in store.registry.outdated(options.strip_deg, options.borrow_days)
            if not groups or tile.group in groups
        ]
        outcomes = []
        for tile in tiles:
            outcome = _recalibrate_tile(store, tile, options, None if dry_run else by)
            outcomes.append(
                {
                    "group": tile.group,
                    "applied": tile.applied,
                    "better": tile.better,
                    "second": tile.second,
                    "outcome": outcome,
                }
            )
            if not as_json:
                click.echo(f"{tile.group}  {tile.applied or 'uncalibrated'} -> {outcome}")
    if as_json:
        print_json(outcomes)
    elif not tiles:
        click.echo("no tile would change")


def _recalibrate_tile(store: Store, tile: OutdatedTile, options: CalibrateOptions, by: str | None) -> str:
    """Requeue a tile if the better set fits its Measurement Set; return the outcome as text."""
    from contimg.formats.caltables.caltable_set import CaltableSet
    from contimg.formats.ms.info import read_ms_info
    from contimg.tile.calibrate.selection import select_caltable_set

    group = store.files.group(tile.group)
    if group is None or group.state not in (State.COMPLETED, State.FAILED):
        return f"{tile.better}: unchanged, the group is {group.state if group else 'gone'}"
    start = Stage.CALIBRATE
    try:
        ms = read_ms_info(tile.path)
    except BadInput:
        start = Stage.CONVERT  # the Measurement Set was deleted; its subband files may still exist
    else:
        caltables = []
        for record in store.registry.valid_at(ms.mid_mjd, borrow_days=options.borrow_days):
            with suppress(BadInput):
                caltables.append(CaltableSet.read(record.tables[0].path.parent))
        chosen, reason = select_caltable_set(caltables, ms, options.strip_deg, options.borrow_days)
        if chosen is None or chosen.name != tile.better:
            return f"{tile.better}: unchanged, the set does not fit ({reason})"
    if by is not None:
        try:
            store.jobs.retry(tile.group, stage=start, by=by)
        except BadInput as error:
            return f"{tile.better}: {error}"
    return f"{tile.better}{f' and {tile.second}' if tile.second else ''}, from {start}"


@click.command()
@click.argument("name", required=False)
@click.option("--date", "day", help="UTC date of the transits, YYYY-MM-DD.  [default: today]")
@click.option("--dec", "dec_deg", type=click.FloatRange(-90, 90), help="Pointing declination, degrees.")
@click.option("--near", help="RA,DEC in degrees (ICRS): list the sources around this position.")
@click.option("--radius", default=2.0, show_default=True, help="Radius around --near, degrees.")
@click.option("--min-attenuation", default=0.1, show_default=True, help="Minimum primary beam response of a transit.")
@click.option("--min-jy", default=1.0, show_default=True, help="Minimum flux after the primary beam, Jy.")
@as_json_option
def calibrators(
    name: str | None,
    day: str | None,
    dec_deg: float | None,
    near: str | None,
    radius: float,
    min_attenuation: float,
    min_jy: float,
    as_json: bool,
) -> None:
    """List calibrators, and their transits on a day.

    A day's transits (--date, --dec), the source NAME, or the sources around a position (--near) are listed.
    Variable sources are used for phases only, not for the flux scale.
    """
    if name:
        print_list([find_calibrator(name)], _source_line, "", as_json=as_json)
    elif near:
        ra_deg, dec_near_deg = _parse_position(near)
        near_sources = cone_search(*np.deg2rad((ra_deg, dec_near_deg, radius)))
        if as_json:
            print_json([{"distance_rad": distance_rad, **vars(source)} for distance_rad, source in near_sources])
            return
        for distance_rad, source in near_sources:
            click.echo(f"{np.rad2deg(distance_rad):6.3f} deg  {_source_line(source)}")
    elif dec_deg is not None:
        of_day = transits(_parse_date(day), np.deg2rad(dec_deg), min_attenuation)
        bright = [transit for transit in of_day if transit.apparent_jy >= min_jy]
        none = f"no calibrator of {min_jy:g} Jy crosses the primary beam at declination {dec_deg:g} deg"
        if as_json:
            print_json([{"transit_at": _format_iso(transit), **vars(transit)} for transit in bright])
        else:
            print_list(bright, _transit_line, none, as_json=False)
    else:
        raise click.UsageError(f"give --dec (and --date), --near or a name; {len(catalogue())} sources are known")


def _parse_date(text: str | None) -> date:
    try:
        return date.fromisoformat(text or format_utc(time.time(), "%Y-%m-%d"))
    except ValueError:
        raise BadInput(f"--date={text!r}: expected a date as YYYY-MM-DD") from None


def _parse_position(text: str) -> tuple[float, float]:
    try:
        ra_deg, dec_deg = (float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--near={text!r}: expected RA,DEC in degrees, for example 24.4,33.2") from None
    return ra_deg, dec_deg


def _format_iso(transit: Transit) -> str:
    return format_utc(mjd_to_unix(transit.mjd), "%Y-%m-%dT%H:%M:%SZ")


def _transit_line(transit: Transit) -> str:
    return (
        f"{format_utc(mjd_to_unix(transit.mjd))}  {np.rad2deg(transit.offset_rad):+6.2f} deg  "
        f"beam {transit.pb_response:.3f}  {transit.apparent_jy:6.2f} Jy  {transit.seconds_in_beam / 60:4.0f} min  "
        f"{_source_line(transit.calibrator)}"
    )


def _source_line(source: Calibrator) -> str:
    remarks = [source.scale, *(["variable: phase only"] if source.variable else [])]
    remarks += [] if source.usable else ["resolved"]
    position = f"{np.rad2deg(source.ra_rad):9.5f} {np.rad2deg(source.dec_rad):+9.5f}"
    flux_jy = float(source.flux_jy(BAND.centre_hz))
    return f"{' '.join((source.name, *source.aliases)):<26} {position}  {flux_jy:6.2f} Jy  {', '.join(remarks)}"


@click.group()
def beam() -> None:
    """Measure, install and show the primary beam."""


@beam.command()
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option(
    "--out", type=PATH, default=Path(), show_default=True, help="Directory of primary_beam.json and its plot."
)
@click.option("--catalogue", default="", help="CSV or FITS table of true fluxes, as of `contimg image --catalogue`.")
@as_json_option
def measure(images: tuple[Path, ...], out: Path, catalogue: str, as_json: bool) -> None:
    """Measure the primary beam in overlapping tile images.

    Give the uncorrected images of one declination strip. The width is in units of the Airy disk's;
    `contimg beam install` puts it in force.
    """
    from contimg.tile.beam.measure import measure_beam
    from contimg.tile.beam.plot import plot_beam
    from contimg.tile.image.options import ImageOptions
    from contimg.tile.image.sources.catalogue import read_catalogue

    rows = read_catalogue(ImageOptions(catalogue=catalogue), BAND.centre_hz) if catalogue else []
    measurement = measure_beam(images, rows)
    out.mkdir(parents=True, exist_ok=True)
    path, plot = out / "primary_beam.json", out / "primary_beam.png"
    write_text(path, json.dumps(asdict(measurement.entry()), indent=2) + "\n", mode=0o644)
    plot_beam(measurement, plot)
    if as_json:
        print_json(measurement)
        return
    click.echo(f"width        {measurement.width:.3f} ± {measurement.width_error:.3f} of the Airy disk's")
    if measurement.ellipticity is not None:
        click.echo(
            f"ellipticity  {measurement.ellipticity:+.3f} ± {measurement.ellipticity_error:.3f} (north to south wider)"
        )
    click.echo(f"pointing     {measurement.east_arcmin:+.1f} ± {measurement.east_error_arcmin:.1f} arcmin to the east")
    click.echo(
        f"from         {measurement.fluxes} fluxes of {measurement.sources} sources in {measurement.images} images, "
        f"reduced chi2 {measurement.reduced_chi2:.2f}"
    )
    click.echo(f"files        {path}, {plot}")


@beam.command()
@click.argument("measurement", type=PATH)
@click.option("--from-mjd", default=ALWAYS_MJD[0], show_default=True, help="Start of the validity, MJD (UTC).")
@click.option("--to-mjd", default=ALWAYS_MJD[1], show_default=True, help="End of the validity, MJD (UTC).")
def install(measurement: Path, from_mjd: float, to_mjd: float) -> None:
    """Put a measured primary beam in force.

    It is used for images and calibration from now on.
    MEASUREMENT is the JSON file of `contimg beam measure`. Images that exist stay as they are.
    """
    entry = replace(read_measurement(measurement), valid_from_mjd=from_mjd, valid_to_mjd=to_mjd)
    click.echo(f"{install_entry(entry)}: {_beam_line(entry)}")


@beam.command("show")
@as_json_option
def show_beam(as_json: bool) -> None:
    """Show the installed primary beams, the newest last.

    Without one the beam is the Airy disk.
    """
    none = f"{table_path()}: no primary beam installed; the Airy disk of the dish is used"
    print_list(read_entries(), _beam_line, none, as_json=as_json)


def _beam_line(entry: BeamEntry) -> str:
    valid = f"valid MJD {entry.valid_from_mjd:g} to {entry.valid_to_mjd:g}"
    origin = f"measured MJD {entry.measured_mjd:.2f} in {entry.images} images, {entry.sources} sources"
    return f"width {entry.width:.3f} ± {entry.width_error:.3f}  {valid}  {origin}"
