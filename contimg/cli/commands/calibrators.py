"""`contimg calibrators`: a day's transits, one source by name, the sources around a place."""

from datetime import UTC, date, datetime, timedelta

import click
import numpy as np

from contimg.errors import BadInput
from contimg.instrument.calibrators import Calibrator, catalogue, cone_search, find_calibrator
from contimg.instrument.dsa110 import BAND
from contimg.instrument.transits import Transit, transits

_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


@click.command()
@click.argument("name", required=False)
@click.option("--date", "day", help="UTC date of the transits, YYYY-MM-DD.")
@click.option("--dec", "dec_deg", type=click.FloatRange(-90, 90), help="Declination that the telescope points at, deg.")
@click.option("--near", help="RA,DEC in degrees (ICRS): list the sources around it.")
@click.option("--radius", default=2.0, show_default=True, help="How far around, degrees.")
@click.option("--min-attenuation", default=0.1, show_default=True, help="Response of the beam that a transit needs.")
@click.option("--min-jy", default=1.0, show_default=True, help="Flux after the beam that a transit needs, Jy.")
def calibrators(
    name: str | None,
    day: str | None,
    dec_deg: float | None,
    near: str | None,
    radius: float,
    min_attenuation: float,
    min_jy: float,
) -> None:
    """List a day's transits (--date, --dec), the source NAME, or the sources --near a place.

    Variable sources serve for phases, never for the flux scale.
    """
    if name:
        click.echo(_source_line(find_calibrator(name)))
    elif near:
        ra_rad, dec_rad = _place(near)
        for away, source in cone_search(ra_rad, dec_rad, np.deg2rad(radius)):
            click.echo(f"{np.rad2deg(away):6.3f} deg  {_source_line(source)}")
    elif dec_deg is not None:
        found = transits(_date(day), np.deg2rad(dec_deg), min_attenuation)
        shown = [one for one in found if one.apparent_jy >= min_jy]
        for one in shown:
            click.echo(_transit_line(one))
        if not shown:
            click.echo(f"no calibrator of {min_jy:g} Jy passes the beam at declination {dec_deg:g} deg")
    else:
        raise click.UsageError(f"give --dec (and --date), --near or a name; {len(catalogue())} sources are known")


def _date(text: str | None) -> date:
    try:
        return date.fromisoformat(text) if text else datetime.now(UTC).date()
    except ValueError:
        raise BadInput(f"--date={text!r}: expected a date as YYYY-MM-DD") from None


def _place(text: str) -> tuple[float, float]:
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--near={text!r}: expected RA,DEC in degrees, for example 24.4,33.2") from None
    return float(np.deg2rad(ra)), float(np.deg2rad(dec))


def _transit_line(one: Transit) -> str:
    at = _MJD_0 + timedelta(days=one.mjd)
    return (
        f"{at:%Y-%m-%d %H:%M:%S}Z  {np.rad2deg(one.offset_rad):+6.2f} deg  beam {one.pb_response:.3f}  "
        f"{one.apparent_jy:6.2f} Jy  {one.seconds_in_beam / 60:4.0f} min  {_source_line(one.calibrator)}"
    )


def _source_line(one: Calibrator) -> str:
    marks = [one.scale, *(["variable: phase only"] if one.variable else []), *([] if one.usable else ["resolved"])]
    names = " ".join((one.name, *one.aliases))
    flux = float(one.flux_jy(BAND.centre_hz))
    place = f"{np.rad2deg(one.ra_rad):9.5f} {np.rad2deg(one.dec_rad):+9.5f}"
    return f"{names:<26} {place}  {flux:6.2f} Jy  {', '.join(marks)}"
