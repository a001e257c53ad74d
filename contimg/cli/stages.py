"""`contimg calibrate`, `contimg image` and `contimg selfcal`: one stage on one Measurement Set."""

from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH
from contimg.formats.caltables.caltable_set import scan_caltable_sets
from contimg.options import flags, from_flags
from contimg.quality.caltables import SolutionLimits
from contimg.quality.image import QualityThresholds
from contimg.tile import image as imaging
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.image import ImageOptions
from contimg.tile.products import CalibratedMS
from contimg.tile.selfcal.options import SelfcalOptions

_ms_argument = click.argument("ms", type=PATH, callback=lambda _, __, path: Path(str(path).rstrip("/")))


@click.command()
@_ms_argument
@click.option(
    "--directory",
    type=PATH,
    help="Directory of caltable sets, read and written.  [default: calibration/ beside the MS]",
)
@flags(CalibrateOptions)
def calibrate(ms: Path, directory: Path | None, **arguments: Any) -> None:
    """Flag the Measurement Set MS, solve on a calibrator in its primary beam, and write CORRECTED_DATA.

    Without a calibrator in the primary beam the nearest valid set of --directory is applied; without any, the MS is
    marked as uncalibrated.
    """
    from contimg.tile.calibrate.run import calibrate as run_calibrate

    directory = directory or ms.absolute().parent / "calibration"
    options, limits = from_flags(CalibrateOptions, arguments), SolutionLimits.from_environment()
    _print_calibration(run_calibrate(ms, scan_caltable_sets(directory), directory, options, limits))


def _print_calibration(result: CalibratedMS) -> None:
    """Print what was solved, what was applied, and the state of the data."""
    if result.new_set:
        caltables = result.new_set
        click.echo(
            f"calibrator  {caltables.calibrator}: {caltables.model_jy:.2f} Jy ({caltables.flux_scale}), "
            f"beam {caltables.attenuation:.2f}; reference antenna {caltables.reference_antenna}, "
            f"{caltables.flagged_fraction:.1%} of solutions flagged"
        )
        for antenna, reason in caltables.quality.get("without_fringes", {}).items():
            click.echo(f"antenna     {antenna}: {reason}")
        click.echo(f"quality     {caltables.grade}{': ' if caltables.reasons else ''}{'; '.join(caltables.reasons)}")
        for path in caltables.paths:
            click.echo(f"table       {path}")
    click.echo(f"applied     {result.calibration_set or 'nothing: uncalibrated'} ({result.calibration_note})")
    dead = f", dead antennas {', '.join(result.dead_antennas)}" if result.dead_antennas else ""
    click.echo(f"flagged     {result.flagged_fraction:.1%}{dead}")
    click.echo("seconds     " + "  ".join(f"{step} {seconds:.1f}" for step, seconds in result.seconds.items()))


@click.command()
@_ms_argument
@click.option("--directory", type=PATH, help="Directory of the products.  [default: images/ beside the MS]")
@flags(ImageOptions)
def image(ms: Path, directory: Path | None, **arguments: Any) -> None:
    """Image the Measurement Set MS: FITS, primary beam, corrected FITS, previews."""
    options = from_flags(ImageOptions, arguments)
    thresholds = QualityThresholds.from_environment()
    result = imaging.image(ms, directory or ms.absolute().parent / "images", options, thresholds)
    products = result.products
    click.echo(f"image    {products.fits}")
    click.echo(f"pb       {products.primary_beam}  (primary beam)")
    click.echo(f"true     {products.corrected}  (over the primary beam)")
    click.echo(f"preview  {products.png}")
    click.echo(f"zoom     {products.zoom}  (the brightest source)")
    if options.plots:
        click.echo(f"plots    {products.uv}, {products.spectrum}")
    width = f"{result.beam_major_arcsec:.1f} x {result.beam_minor_arcsec:.1f} arcsec"
    click.echo(f"beam     {width}, {result.beam_angle_deg:.0f} deg")
    click.echo(f"peak     {result.peak_jy:.4g} Jy/beam, apparent")
    thermal_jy = result.expected_rms_jy
    thermal = "unknown" if thermal_jy is None else f"{thermal_jy * 1e3:.3g}"
    click.echo(f"rms      {result.rms_jy * 1e3:.3g} mJy/beam, thermal {thermal}")
    ended = f", ended by {result.clean_stopped_by}" if result.clean_stopped_by else ""
    click.echo(f"clean    {result.cleaned_jy:.4g} Jy in {result.iterations} iterations{ended}")
    applied = result.calibration
    calibration = f"calibrated with {applied.set}" if applied.set else f"UNCALIBRATED, {applied.reason}"
    click.echo(f"data     {result.unflagged_fraction:.1%} unflagged; {calibration}")
    for match in result.matches[:5]:
        click.echo(
            f"known    {match.source.name}: {match.flux_jy:.4g} Jy, {match.flux_ratio:.2f} times the catalogue's, "
            f"offset {match.east_arcsec:+.1f}, {match.north_arcsec:+.1f} arcsec"
        )
    if result.found_sources:
        click.echo(f"found    {len(result.found_sources)} sources: {products.votable}, {products.csv}")
    click.echo(f"verdict  {result.verdict}" + "".join(f"\n         {reason}" for reason in result.verdict_reasons))


@click.command()
@_ms_argument
@flags(SelfcalOptions)
def selfcal(ms: Path, **arguments: Any) -> None:
    """Refine the calibration of the Measurement Set MS on its own sources, where that lowers the noise."""
    from contimg.tile.selfcal.run import selfcal as run_selfcal

    result = run_selfcal(ms, from_flags(SelfcalOptions, arguments), ImageOptions.from_environment())
    for gains in result.rounds:
        noise = f"noise {gains.before_jy * 1e3:.3g} to {gains.after_jy * 1e3:.3g} mJy/beam"
        click.echo(f"{gains.kind:<10} {gains.sources} sources, {noise}, {'kept' if gains.kept else 'not kept'}")
    click.echo(f"{'changed' if result.changed else 'unchanged'}  {result.reason}")
