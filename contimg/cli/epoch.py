"""`contimg mosaic`: the mosaic stage on given tile images."""

from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, print_comparison, print_json
from contimg.common.errors import BadInput
from contimg.common.options import flags, from_flags
from contimg.epoch.mosaic import Mosaic, MosaicOptions, MosaicThresholds, make_mosaic
from contimg.settings import Settings


@click.command()
@click.argument("output", type=PATH, metavar="OUT.fits")
@click.argument("tiles", nargs=-1, required=True, type=PATH, metavar="TILE.fits...")
@click.option(
    "--reference-catalogue",
    type=PATH,
    help="Catalogue file to compare with.  [default: the installed one of CONTIMG_REFERENCE_CATALOGUE]",
)
@as_json_option
@flags(MosaicOptions)
def mosaic(
    output: Path, tiles: tuple[Path, ...], reference_catalogue: Path | None, as_json: bool, **arguments: Any
) -> None:  # fmt: skip
    """Make the mosaic of tile images of one declination strip.

    OUT.fits is the mosaic; OUT.weight.fits (1/Jy²), OUT.rms.fits and pictures are written beside it. Each TILE.fits is
    an image of apparent fluxes in Jy/beam with its primary beam in TILE.pb.fits beside it, written by `contimg image`
    or by another program. Images that cannot be used are named and left out.
    """
    if output.suffix != ".fits":
        raise BadInput(f"{output}: the name of a mosaic ends in .fits; give {output}.fits")
    if output in tiles:
        raise BadInput(f"{output}: is both the mosaic and a tile image; the mosaic comes first")
    options = from_flags(MosaicOptions, arguments)
    catalogue = reference_catalogue or Settings.from_environment().reference_path
    product = make_mosaic(tiles, output, options, MosaicThresholds.from_environment(), reference_catalogue=catalogue)
    for omitted in product.omitted:
        click.echo(f"contimg: left out {omitted.fits_path}: {omitted.reason}", err=True)
    if as_json:
        print_json(product)
    else:
        _print_mosaic(product)


def _print_mosaic(product: Mosaic) -> None:
    """Print the files, the numbers, the members and the QA grade of a mosaic."""
    click.echo(f"mosaic   {product.fits_path}")
    click.echo(f"weight   {product.weight_fits_path}")
    click.echo(f"noise    {product.rms_fits_path}")
    click.echo(f"preview  {product.png_path}")
    if product.qa_png_path:
        click.echo(f"overlaps {product.qa_png_path}")
    size = f"{product.width_pixels} x {product.height_pixels} pixels of {product.cell_arcsec:g} arcsec"
    click.echo(f"size     {size}, {product.area_deg2:.2f} deg2 around {product.ra_deg:.4f} {product.dec_deg:+.4f} deg")
    beam = f"{product.beam_major_arcsec:.1f} x {product.beam_minor_arcsec:.1f} arcsec, {product.beam_angle_deg:.0f} deg"
    click.echo(f"beam     {beam}")
    noise = f"{product.rms_jy * 1e3:.3g} mJy/beam, predicted {product.expected_rms_jy * 1e3:.3g}"
    click.echo(f"rms      {noise}; peak {product.peak_jy:.4g} Jy/beam")
    click.echo(f"overlaps {product.shared_sources} sources are in two or more tiles")
    if product.flux_scatter is not None and product.position_scatter_beams is not None:
        click.echo(
            f"         fluxes scatter by {product.flux_scatter:.1%}, positions by "
            f"{product.position_scatter_beams:.3f} beams"
        )
    for entry in product.beam_profile:
        click.echo(
            f"         primary beam at {entry.radius_deg:.2f} deg: {entry.deviation:+.1%} +- {entry.error:.1%} "
            f"from the one applied ({entry.fluxes} fluxes)"
        )
    print_comparison(product, product.comparison_png_path)
    for member in product.members:
        scale = f", fluxes {member.flux_scale:.3f}" if member.flux_scale else ""
        click.echo(
            f"member   {member.name}: weight {member.weight:.1%}, rms {member.rms_jy * 1e3:.3g} mJy/beam, shift "
            f"{member.east_arcsec:+.2f}, {member.north_arcsec:+.2f} arcsec{scale}"
        )
    click.echo(f"verdict  {product.verdict}" + "".join(f"\n         {reason}" for reason in product.verdict_reasons))
