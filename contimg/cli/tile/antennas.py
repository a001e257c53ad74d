"""`contimg antennas list|show`: the health of the antennas over time."""

import click

from contimg.cli.shared import as_json_option, open_store, print_json
from contimg.common.errors import BadInput
from contimg.common.units import format_duration, format_utc
from contimg.instrument.time import unix_to_mjd
from contimg.quality.antennas import AntennaState
from contimg.store import Outage, Store
from contimg.store.products.antennas import AntennaMeasurement

days_option = click.option(
    "--days", default=7.0, show_default=True, type=click.FloatRange(min=0.0, min_open=True),
    help="Days until the newest tile.",
)  # fmt: skip


@click.group()
def antennas() -> None:
    """List the antennas and their outages; show one over time."""


@antennas.command("list")
@days_option
@as_json_option
def list_antennas(days: float, as_json: bool) -> None:
    """List the usable antennas, those that are out, and the outages."""
    with open_store() as store:
        listed = store.antennas.list(*_span(store, days))
        now_s = store.database.clock()
    if as_json:
        print_json(listed)
        return
    for outage in listed.outages:
        click.echo(f"{outage.antenna:<6} {_line(outage, now_s)}")
    if not listed.antennas:
        click.echo("no calibrated tile in this time: the calibrate stage records the antennas")
        return
    usable = sum(antenna.state is AntennaState.GOOD for antenna in listed.antennas)
    click.echo(f"{usable} of {len(listed.antennas)} antennas are usable in their newest tile")
    for antenna in listed.antennas:
        if antenna.reason:
            states = ", ".join(f"{letter} {state}" for letter, state in antenna.polarisations.items())
            click.echo(f"{antenna.antenna:<6} {states}: {antenna.reason}")


@antennas.command()
@click.argument("antenna")
@days_option
@as_json_option
def show(antenna: str, days: float, as_json: bool) -> None:
    """Show the outages of an antenna, and its numbers by tile."""
    with open_store() as store:
        history = store.antennas.history(antenna, *_span(store, days))
        now_s = store.database.clock()
    if not history.measurements:
        raise BadInput(
            f"antenna {antenna}: in no tile of these {days:g} days; `contimg antennas list --json` lists all"
        )
    if as_json:
        print_json(history)
        return
    for outage in history.outages:
        click.echo(_line(outage, now_s))
    for measurement in history.measurements:
        click.echo(_measurement_line(measurement))


def _span(store: Store, days: float) -> tuple[float, float]:
    newest_mjd = store.antennas.newest_mjd()
    until_mjd = unix_to_mjd(store.database.clock()) if newest_mjd is None else newest_mjd + 1e-6
    return until_mjd - days, until_mjd


def _line(outage: Outage, now_s: float) -> str:
    ended = "lasts" if outage.ended_at is None else f"to {format_utc(outage.ended_at, '%Y-%m-%d %H:%M')}"
    duration = format_duration((outage.ended_at or now_s) - outage.began_at)
    began = format_utc(outage.began_at, "%Y-%m-%d %H:%M")
    return f"{outage.state:<9} {began} {ended:<19} {duration:>8}  {outage.reason}"


def _measurement_line(measurement: AntennaMeasurement) -> str:
    numbers = [f"{100 * measurement.flagged_fraction:5.1f} % flagged"]
    if measurement.amplitude is not None:
        numbers.append(f"amplitude {measurement.amplitude:.4g}")
    if measurement.phase_deg is not None:
        numbers.append(f"phase {measurement.phase_deg:.1f} deg")
    if measurement.snr is not None:
        numbers.append(f"S/N {measurement.snr:.0f}")
    numbers += [measurement.reason] if measurement.reason else []
    kind = "set " if measurement.set_name else "tile"
    return f"{measurement.group}  {kind} {measurement.polarisation}  {measurement.state:<9} {', '.join(numbers)}"
