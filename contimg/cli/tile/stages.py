"""`contimg calibrate`, `selfcal` and `image`: one stage on a given Measurement Set."""

from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, print_comparison, print_json
from contimg.common.options import flags, from_flags
from contimg.formats.caltables.caltable_set import scan_caltable_sets
from contimg.quality.caltables import SolutionLimits
from contimg.quality.image import QualityThresholds
from contimg.settings import Settings
from contimg.tile import image as imaging
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.image import ImageOptions
from contimg.tile.image.result import ImagingResult
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
@as_json_option
@flags(CalibrateOptions)
def calibrate(ms: Path, directory: Path | None, as_json: bool, **arguments: Any) -> None:
    """Flag, solve and calibrate the Measurement Set MS.

    The tables are solved on a calibrator in its primary beam; the result is written to CORRECTED_DATA. Without a
    calibrator in the primary beam the nearest valid set of --directory is applied; without any, the MS is marked as
    uncalibrated.
    """
    from contimg.tile.calibrate.run import calibrate as run_calibrate

    directory = directory or ms.absolute().parent / "calibration"
    options, limits = from_flags(CalibrateOptions, arguments), SolutionLimits.from_environment()
    if not options.catalogue and (path := Settings.from_environment().reference_path):
        options = options.replace(catalogue=str(path))
    result = run_calibrate(ms, scan_caltable_sets(directory), directory, options, limits)
    if as_json:
        print_json(result)
    else:
        _print_calibration(result)


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
    click.echo(f"class       {result.age_text}")
    bad = f", bad antennas {', '.join(result.bad_antennas)}" if result.bad_antennas else ""
    click.echo(f"flagged     {result.flagged_fraction:.1%}{bad}")
    click.echo("seconds     " + "  ".join(f"{step} {seconds:.1f}" for step, seconds in result.seconds.items()))


@click.command()
@_ms_argument
@click.option("--directory", type=PATH, help="Directory of the products.  [default: images/ beside the MS]")
@click.option(
    "--reference-catalogue",
    type=PATH,
    help="Catalogue file to compare with.  [default: the installed one of CONTIMG_REFERENCE_CATALOGUE]",
)
@as_json_option
@flags(ImageOptions)
def image(
    ms: Path, directory: Path | None, reference_catalogue: Path | None, as_json: bool, **arguments: Any
) -> None:  # fmt: skip
    """Image the Measurement Set MS.

    FITS, primary beam, corrected FITS and previews are written.
    """
    options = from_flags(ImageOptions, arguments)
    thresholds = QualityThresholds.from_environment()
    catalogue = reference_catalogue or Settings.from_environment().reference_path
    directory = directory or ms.absolute().parent / "images"
    result = imaging.image(ms, directory, options, thresholds, reference_catalogue=catalogue)
    if as_json:
        print_json(result)
    else:
        _print_image(result, is_plotted=options.plots)


def _print_image(result: ImagingResult, *, is_plotted: bool) -> None:
    """Print the files, the numbers, the sources and the QA grade of an image."""
    products = result.products
    click.echo(f"image    {products.fits}")
    click.echo(f"pb       {products.primary_beam}  (primary beam)")
    click.echo(f"true     {products.corrected}  (over the primary beam)")
    click.echo(f"preview  {products.png}")
    click.echo(f"zoom     {products.zoom}  (the brightest source)")
    if is_plotted:
        click.echo(f"plots    {products.uv}, {products.spectrum}")
    width = f"{result.beam_major_arcsec:.1f} x {result.beam_minor_arcsec:.1f} arcsec"
    click.echo(f"beam     {width}, {result.beam_angle_deg:.0f} deg")
    click.echo(f"peak     {result.peak_jy:.4g} Jy/beam, apparent")
    thermal_jy = result.expected_rms_jy
    thermal = "unknown" if thermal_jy is None else f"{thermal_jy * 1e3:.3g}"
    click.echo(f"rms      {result.rms_jy * 1e3:.3g} mJy/beam, thermal {thermal}")
    ended = f", ended by {result.clean_stopped_by}" if result.clean_stopped_by else ""
    click.echo(f"clean    {result.cleaned_jy:.4g} Jy in {result.iterations} iterations{ended}")
    outside = f"{result.subtracted_count} sources of {result.subtracted_jy or 0:.3g} Jy"
    click.echo(f"outside  {outside} subtracted: {products.subtracted}")
    applied = result.calibration
    calibration = f"calibrated with {applied.set}" if applied.set else f"UNCALIBRATED, {applied.reason}"
    click.echo(f"data     {result.unflagged_fraction:.1%} unflagged; {calibration}")
    ratio = f", ratio {result.hand_ratio:.3f} +- {result.hand_ratio_error:.3f}" if result.hand_ratio else ""
    missing = f"; no data in subbands {', '.join(map(str, result.missing_subbands))}" if result.missing_subbands else ""
    click.echo(f"hands    {result.hands}{ratio}{missing}")
    print_comparison(result, products.comparison)
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
@as_json_option
@flags(SelfcalOptions)
def selfcal(ms: Path, as_json: bool, **arguments: Any) -> None:
    """Refine the calibration of the Measurement Set MS.

    It is solved on the tile's own sources, and kept where that lowers the noise.
    """
    from contimg.tile.selfcal.run import selfcal as run_selfcal

    result = run_selfcal(ms, from_flags(SelfcalOptions, arguments), ImageOptions.from_environment())
    if as_json:
        print_json(result)
        return
    for gains in result.rounds:
        noise = f"noise {gains.before_jy * 1e3:.3g} to {gains.after_jy * 1e3:.3g} mJy/beam"
        click.echo(f"{gains.kind:<10} {gains.sources} sources, {noise}, {'kept' if gains.kept else 'not kept'}")
    click.echo(f"{'changed' if result.changed else 'unchanged'}  {result.reason}")
