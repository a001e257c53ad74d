"""`contimg image`: image one Measurement Set."""

from pathlib import Path
from typing import Any

import click

from contimg.options import flags, from_flags
from contimg.quality import image as quality
from contimg.tile import image as imaging


@click.command("image")
@click.argument("ms", type=click.Path(path_type=Path))
@click.option(
    "--directory", type=click.Path(path_type=Path), help="where the products go  [default: images, beside the MS]"
)
@flags(imaging.ImageOptions)
def image(ms: Path, directory: Path | None, **given: Any) -> None:
    """Image the Measurement Set MS: FITS, primary beam, corrected FITS, pictures."""
    options = from_flags(imaging.ImageOptions, given)
    thresholds = quality.QualityThresholds.from_environment()
    tile_image = imaging.image(ms, directory or ms.absolute().parent / "images", options, thresholds)
    products = tile_image.products
    click.echo(f"image    {products.fits}")
    click.echo(f"dishes   {products.primary_beam}  (their primary beam)")
    click.echo(f"true     {products.corrected}  (over the primary beam)")
    click.echo(f"preview  {products.png}")
    click.echo(f"zoom     {products.zoom}  (the brightest source)")
    if options.plots:
        click.echo(f"plots    {products.uv}, {products.spectrum}")
    width = f"{tile_image.beam_major_arcsec:.1f} x {tile_image.beam_minor_arcsec:.1f} arcsec"
    click.echo(f"beam     {width}, {tile_image.beam_angle_deg:.0f} deg")
    click.echo(f"peak     {tile_image.peak_jy:.4g} Jy/beam, apparent")
    click.echo(f"rms      {tile_image.rms_jy * 1e3:.3g} mJy/beam, thermal {tile_image.expected_rms_jy * 1e3:.3g}")
    click.echo(f"clean    {tile_image.cleaned_jy:.4g} Jy in {tile_image.iterations} iterations")
    click.echo(f"data     {tile_image.unflagged_fraction:.1%} unflagged; {_calibration(tile_image.calibration)}")
    for match in tile_image.matches[:5]:
        click.echo(
            f"known    {match.entry.name}: {match.flux_jy:.4g} Jy, {match.flux_ratio:.2f} times the catalogue's, "
            f"off by {match.east_arcsec:+.1f}, {match.north_arcsec:+.1f} arcsec"
        )
    if tile_image.found_sources:
        click.echo(f"found    {len(tile_image.found_sources)} sources: {products.votable}, {products.csv}")
    click.echo(f"verdict  {tile_image.verdict}" + "".join(f"\n         {why}" for why in tile_image.verdict_reasons))


def _calibration(calibration: imaging.Calibration) -> str:
    if calibration.set is None:
        return f"UNCALIBRATED, {calibration.reason}"
    return f"calibrated with {calibration.set}"
