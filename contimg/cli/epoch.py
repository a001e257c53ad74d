"""`contimg mosaic` and `contimg photometry`: the stages of an epoch on given images or Measurement Sets."""

from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, limit_option, print_comparison, print_json
from contimg.common.errors import BadInput
from contimg.common.options import flags, from_flags
from contimg.epoch.joint import make_joint_mosaic
from contimg.epoch.mosaic import Mosaic, MosaicOptions, MosaicThresholds, make_mosaic
from contimg.epoch.photometry.options import MeasureOptions
from contimg.epoch.photometry.products import Photometry
from contimg.settings import Settings
from contimg.sky.catalogue import reference_catalogue
from contimg.tile.image.options import ImageOptions


@click.command()
@click.argument("output", type=PATH, metavar="OUT.fits")
@click.argument("tiles", nargs=-1, required=True, type=PATH, metavar="TILE...")
@click.option(
    "--joint",
    is_flag=True,
    help="Deconvolve Measurement Sets jointly; each TILE is a .ms directory. CONTIMG_IMAGE_... set the imaging.",
)
@click.option(
    "--reference-catalogue",
    type=PATH,
    help="Catalogue file to compare with.  [default: the installed one of CONTIMG_REFERENCE_CATALOGUE]",
)
@as_json_option
@flags(MosaicOptions)
def mosaic(
    output: Path, tiles: tuple[Path, ...], joint: bool, reference_catalogue: Path | None, as_json: bool,
    **arguments: Any,
) -> None:  # fmt: skip
    """Make the mosaic of tile images of one declination strip.

    OUT.fits is the mosaic; OUT.weight.fits (1/Jy²), OUT.rms.fits and pictures are written beside it. Each TILE is
    an image NAME.fits of apparent fluxes in Jy/beam with its primary beam in NAME.pb.fits beside it, written by
    `contimg image` or by another program; with --joint it is a calibrated Measurement Set. Tiles that cannot be used
    are named and left out.
    """
    if output.suffix != ".fits":
        raise BadInput(f"{output}: the name of a mosaic ends in .fits; give {output}.fits")
    if output in tiles:
        raise BadInput(f"{output}: is both the mosaic and a tile image; the mosaic comes first")
    options = from_flags(MosaicOptions, arguments)
    catalogue = reference_catalogue or Settings.from_environment().reference_path
    thresholds = MosaicThresholds.from_environment()
    if joint:
        imaging = ImageOptions.from_environment()
        product = make_joint_mosaic(tiles, output, imaging, options, thresholds, catalogue)
    else:
        product = make_mosaic(tiles, output, options, thresholds, reference_catalogue=catalogue)
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


@click.command()
@click.argument("image", type=PATH, metavar="IMAGE.fits")
@click.option(
    "--catalogue",
    "positions",
    required=True,
    type=PATH,
    help="Built catalogue, by name or file, or a table (CSV, VOTable, FITS) with ra_deg, dec_deg and optional name.",
)
@click.option(
    "--out", "table", type=PATH, metavar="TABLE", help="Table to write: .csv, .vot, .fits or .parquet.  [default: none]"
)
@limit_option(20)
@as_json_option
@flags(MeasureOptions)
def photometry(
    image: Path, positions: Path, table: Path | None, limit: int, as_json: bool, **arguments: Any
) -> None:  # fmt: skip
    """Measure fluxes at fixed positions of a FITS image.

    IMAGE.fits is in Jy/beam with a restoring beam. Where IMAGE.pb.fits is beside it, the fluxes are divided by it;
    where IMAGE.rms.fits is, it is the local noise, which is measured otherwise. Without --out, the brightest fluxes
    are printed.
    """
    from contimg.epoch.photometry.run import measure_fluxes
    from contimg.epoch.photometry.tables import photometry_columns, photometry_notes
    from contimg.formats.source_tables import table_format, write_table

    if table is not None:
        table_format(table)  # refused before the work
    is_name = not positions.suffix and not positions.exists()
    path = reference_catalogue(Settings.from_environment().state_dir, str(positions)) if is_name else positions
    measured = measure_fluxes(image, path or positions, from_flags(MeasureOptions, arguments))
    if table is not None:
        write_table(table, photometry_columns(measured), photometry_notes(measured))
    if as_json:
        print_json(_photometry_rows(measured))
        return
    detected = int((measured.is_detected & measured.is_usable).sum())
    click.echo(
        f"{len(measured)} positions, {detected} detected at 3 sigma, {int((~measured.is_usable).sum())} not usable"
        + (f"; {table}" if table else "")
    )
    if table is None:
        _print_photometry(measured, limit)


def _photometry_rows(measured: Photometry) -> list[dict[str, Any]]:
    """The fluxes as records for JSON; a value that is not known is null."""
    from contimg.epoch.photometry.tables import photometry_columns

    columns = {name: column.values.tolist() for name, column in photometry_columns(measured).items()}
    rows = zip(*columns.values(), strict=True)
    return [{name: None if value != value else value for name, value in zip(columns, row, strict=True)} for row in rows]


def _print_photometry(measured: Photometry, limit: int) -> None:
    """Print the brightest fluxes as a table."""
    from contimg.epoch.photometry.tables import flag_names

    width = max([4, *map(len, measured.source_id.tolist())])
    click.echo(f"{'name':<{width}}  {'ra_deg':>10}  {'dec_deg':>10}  {'flux':>10}  {'error':>8}  mJy  {'pb':>5}  flags")
    order = (-measured.flux_jy).argsort(kind="stable")[:limit]
    for row in order.tolist():
        flux, error = 1e3 * measured.flux_jy[row], 1e3 * measured.flux_error_jy[row]
        shown = f"{flux:>10.3f}" if measured.is_detected[row] or flux != flux else f"{f'<{3 * error:.3f}':>10}"
        click.echo(
            f"{measured.source_id[row]:<{width}}  {measured.ra_deg[row]:>10.5f}  {measured.dec_deg[row]:>+10.5f}  "
            f"{shown}  {error:>8.3f}       {measured.pb[row]:>5.2f}  {flag_names(int(measured.flags[row]))}"
        )
    if len(measured) > limit:
        click.echo(f"{limit} of {len(measured)} positions; --out TABLE writes all", err=True)
