"""`contimg calibrations list|show|retire|import`: the registry of calibration sets."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from contimg.cli.listing import as_json_option, limit_option, print_json, print_list

from contimg.errors import BadInput
from contimg.quality.caltables import SolutionLimits
from contimg.settings import Settings, load
from contimg.store import CalibrationSetRecord, configured_store
from contimg.tile.calibrate.options import CalibrateOptions

_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


@click.group()
def calibrations() -> None:
    """The registry of calibration sets: look, retire, import."""


@calibrations.command("list")
@limit_option(30)
@as_json_option
def list_sets(limit: int, as_json: bool) -> None:
    """List sets, the latest observed first."""
    with configured_store() as store:
        found = store.registry.sets(limit)
    none = "no calibration set yet: one comes when a calibrator transits, or by `contimg calibrations import`"
    print_list(found, _line, none, as_json=as_json)


@calibrations.command()
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show one set: its verdict, its tables and their numbers, its pictures."""
    with configured_store() as store:
        one = store.registry.set_named(name)
    if one is None:
        raise BadInput(f"calibration set {name}: not in the registry; `contimg calibrations list` shows all")
    if as_json:
        print_json(asdict(one))
        return
    click.echo(_line(one))
    click.echo(f"  valid        {_when(one.valid_from_mjd)} to {_when(one.valid_to_mjd)}")
    click.echo(f"  reference    {one.reference_antenna or 'unknown'}")
    for reason in one.reasons:
        click.echo(f"  {one.grade}      {reason}")
    for key, value in one.quality.items():
        if not isinstance(value, dict):
            click.echo(f"  {key:<22} {value:.4g}" if isinstance(value, float) else f"  {key:<22} {value}")
    for antenna, reason in one.quality.get("without_fringes", {}).items():
        click.echo(f"  antenna {antenna}: {reason}")
    for table, numbers in one.quality.get("tables", {}).items():
        click.echo(f"  {table}")
        for key, value in numbers.items():
            told = ", ".join(value) or "none" if isinstance(value, list) else f"{value:.4g}"
            click.echo(f"    {key:<20} {told}")
    for path in (*(table.path for table in one.tables), *sorted(one.tables[0].path.parent.glob("*.png"))):
        click.echo(f"  {path}")


@calibrations.command()
@click.argument("name")
@click.option("--reason", default="retired by an operator", show_default=True, help="Why, for those who come after.")
def retire(name: str, reason: str) -> None:
    """Take a set out of force; its tables stay. `contimg recalibrate` then redoes the tiles that it calibrated."""
    with configured_store() as store:
        store.registry.retire(name, reason)
        click.echo(_line(store.registry.set_named(name)))


@calibrations.command("import")
@click.argument("tables", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name of the set.  [default: the bandpass's file name]")
@click.option("--calibrator", help="The source observed.  [default: the table's field]")
@click.option("--dec", "dec_deg", type=float, help="Declination that the telescope pointed at, deg, ICRS.")
def import_tables(tables: tuple[Path, ...], name: str | None, calibrator: str | None, dec_deg: float | None) -> None:
    """Bring existing CASA TABLES (one of type B, perhaps one of type G and of type K) into the registry as a set."""
    from contimg.tile.calibrate.import_tables import import_set

    paths = [Path(str(one).rstrip("/")) for one in tables]
    config = load(Settings.from_environment())
    made = import_set(
        paths,
        name or paths[0].stem,
        config.output_dir / "calibration",
        CalibrateOptions.from_environment(),
        SolutionLimits.from_environment(),
        calibrator=calibrator,
        dec_deg=dec_deg,
    )
    with configured_store() as store:
        store.registry.register(made)
        click.echo(_line(store.registry.set_named(made.name)))


def _line(one: CalibrationSetRecord | None) -> str:
    """One set on one line: name, when, calibrator, strip, verdict, whether it is in force."""
    if one is None:
        return ""
    strip = "any strip" if one.dec_deg is None else f"dec {one.dec_deg:+.2f}"
    force = f"retired: {one.retired}" if one.retired else ""
    force = f"superseded by {one.superseded_by}" if one.superseded_by else force
    parts = (one.name, _when(one.mjd), f"{one.calibrator:<10}", strip, f"{one.grade:<8}", force)
    return "  ".join(part for part in parts if part).rstrip()


def _when(mjd: float) -> str:
    return f"{_MJD_0 + timedelta(days=mjd):%Y-%m-%d %H:%M}Z"
