"""`contimg image`: make the quick look of one Measurement Set."""

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
    look = imaging.image(ms, directory or ms.absolute().parent / "images", options, thresholds)
    beam, products = look.beam, look.products
    click.echo(f"image    {products.fits}")
    click.echo(f"dishes   {products.primary_beam}  (their primary beam)")
    click.echo(f"true     {products.corrected}  (over the primary beam)")
    click.echo(f"preview  {products.png}")
    click.echo(f"zoom     {products.zoom}  (the brightest source)")
    if options.plots:
        click.echo(f"plots    {products.uv}, {products.spectrum}")
    click.echo(f"beam     {beam.major_arcsec:.1f} x {beam.minor_arcsec:.1f} arcsec, {beam.angle_deg:.0f} deg")
    click.echo(f"peak     {look.peak_jy:.4g} Jy/beam, apparent")
    click.echo(f"rms      {look.rms_jy * 1e3:.3g} mJy/beam, thermal {look.expected_rms_jy * 1e3:.3g}")
    click.echo(f"clean    {look.cleaned_jy:.4g} Jy in {look.iterations} iterations")
    click.echo(f"data     {look.unflagged_fraction:.1%} unflagged; {_calibration(look.calibration)}")
    for match in look.matches[:5]:
        click.echo(
            f"known    {match.entry.name}: {match.flux_jy:.4g} Jy, {match.flux_ratio:.2f} times the catalogue's, "
            f"off by {match.east_arcsec:+.1f}, {match.north_arcsec:+.1f} arcsec"
        )
    if look.sources:
        click.echo(f"found    {len(look.sources)} sources: {products.votable}, {products.csv}")
    click.echo(f"verdict  {look.quality.grade}" + "".join(f"\n         {why}" for why in look.quality.reasons))


def _calibration(calibration: imaging.Calibration) -> str:
    if not calibration.calibrated:
        return f"UNCALIBRATED, {calibration.reason}"
    return f"calibrated with {calibration.set}"
