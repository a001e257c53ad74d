"""`contimg calibrate`: flag and calibrate one Measurement Set."""

from pathlib import Path
from typing import Any

import click

from contimg.formats.caltables.caltable_set import scan_caltable_sets
from contimg.options import flags, from_flags
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate as calibrate_stage
from contimg.tile.products import CalibratedMS


@click.command()
@click.argument("ms", type=click.Path(path_type=Path))
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where calibration sets are found and put.  [default: calibration/ beside the MS]",
)
@flags(CalibrateOptions)
def calibrate(ms: Path, directory: Path | None, **given: Any) -> None:
    """Flag the Measurement Set MS, solve on a calibrator in its beam, and write CORRECTED_DATA.

    Without a calibrator in the beam the nearest valid set of --directory is applied; without any, the MS says so.
    """
    ms = Path(str(ms).rstrip("/"))
    place = directory or ms.absolute().parent / "calibration"
    limits = SolutionLimits.from_environment()
    report(calibrate_stage(ms, scan_caltable_sets(place), place, from_flags(CalibrateOptions, given), limits))


def report(done: CalibratedMS) -> None:
    """Print what was solved, what was applied, and the state of the data."""
    if done.new_set:
        new = done.new_set
        click.echo(
            f"calibrator  {new.calibrator}: {new.model_jy:.2f} Jy ({new.flux_scale}), beam {new.attenuation:.2f}; "
            f"reference antenna {new.reference_antenna}, {new.flagged_fraction:.1%} of solutions flagged"
        )
        for name, reason in new.quality.get("without_fringes", {}).items():
            click.echo(f"antenna     {name}: {reason}")
        click.echo(f"quality     {new.grade}{': ' if new.reasons else ''}{'; '.join(new.reasons)}")
        for path in new.paths:
            click.echo(f"table       {path}")
    click.echo(f"applied     {done.calibration_set or 'nothing: uncalibrated'} ({done.calibration_note})")
    dead = f", dead antennas {', '.join(done.dead_antennas)}" if done.dead_antennas else ""
    click.echo(f"flagged     {done.flagged_fraction:.1%}{dead}")
    click.echo("seconds     " + "  ".join(f"{step} {spent:.1f}" for step, spent in done.seconds.items()))
