"""`contimg images list|show|get`."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from contimg.cli.shared import PATH, as_json_option, limit_option, open_store, print_json, print_list
from contimg.common.errors import BadInput
from contimg.common.options import Choice
from contimg.common.units import format_flux, format_position, format_utc, parse_time_span
from contimg.instrument.time import unix_to_mjd
from contimg.quality.grades import GRADES
from contimg.store import LIVE, ImageFilter, StoredImage
from contimg.store.products.bundle import CHECKSUMS, MANIFEST, list_files, write_bundle

Command = Callable[..., Any]


def parse_mjd(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Return the MJD, in days, at which a time in UTC or its beginning begins; a callback of options."""
    try:
        begin_s, _ = parse_time_span(value or "")
    except ValueError as error:
        raise click.BadParameter(f"{value!r}: {error}") from None
    return None if begin_s is None else unix_to_mjd(begin_s)


_FILTER_OPTIONS = (
    click.option(
        "--since", "since_mjd", metavar="UTC", callback=parse_mjd,
        help="Observed at or after this time, such as 2026-02-22 or 2026-02-22T03:04.",
    ),
    click.option("--until", "until_mjd", metavar="UTC", callback=parse_mjd, help="Observed before this time."),
    click.option("--grade", type=Choice(GRADES), help="Of this QA grade."),
    click.option("--calibrated/--uncalibrated", default=None, help="With, or without, an applied caltable set."),
    click.option("--ra", "ra_deg", type=float, help="Right ascension (ICRS) of a circle that holds the centre, deg."),
    click.option("--dec", "dec_deg", type=float, help="Declination (ICRS) of that circle, deg."),
    click.option("--radius", "radius_deg", type=float, help="Radius of that circle, deg."),
    click.option("--declination", "declination_deg", type=float, help="Of this declination strip, deg."),
    click.option(
        "--processing", default=LIVE, show_default=True, help="Processing of the images: live or a campaign's name."
    ),
)  # fmt: skip


def filter_options(command: Command) -> Command:
    """Add the options that select images; the command gets an `ImageFilter` as `images`."""

    @wraps(command)
    def run(
        since_mjd: float | None, until_mjd: float | None, grade: str | None, calibrated: bool | None,
        ra_deg: float | None, dec_deg: float | None, radius_deg: float | None, declination_deg: float | None,
        processing: str, **arguments: Any,
    ) -> Any:  # fmt: skip
        images = ImageFilter(
            since_mjd=since_mjd, until_mjd=until_mjd, grade=grade, calibrated=calibrated, ra_deg=ra_deg,
            dec_deg=dec_deg, radius_deg=radius_deg, declination_deg=declination_deg, processing=processing,
        )  # fmt: skip
        return command(images=images, **arguments)

    for option in reversed(_FILTER_OPTIONS):
        run = option(run)
    return run


@click.group()
def images() -> None:
    """List, show, copy and link selections of images."""


@images.command("list")
@filter_options
@limit_option(20)
@as_json_option
def list_images(images: ImageFilter, limit: int, as_json: bool) -> None:
    """List images, latest observed first."""
    with open_store() as store:
        records = store.products.find_images(images, limit)
        total = sum(store.products.count_images(images).values())
    print_list(records, _line, "no image", as_json=as_json)
    if total > len(records) and not as_json:
        click.echo(f"{len(records)} of {total} images; --limit {total} lists all", err=True)


@images.command()
@click.argument("image")
@as_json_option
def show(image: str, as_json: bool) -> None:
    """Show numbers, QA grade with reasons and files of an image.

    IMAGE is its number or the id of its group.
    """
    with open_store() as store:
        number = int(image) if image.isdecimal() and len(image) < 19 else None
        record = store.products.image_of(image) if number is None else store.products.image(number)
    if record is None:
        raise BadInput(f"image {image}: not in the store; `contimg images list` lists those that are")
    if as_json:
        print_json(record)
        return
    click.echo(_line(record))
    for reason in record.verdict_reasons:
        click.echo(f"  {record.verdict}: {reason}")
    for name, text in _numbers(record).items():
        click.echo(f"  {name:<22}  {text}")
    for path in filter(None, (record.fits_path, record.beam_fits_path, record.pbcor_path, record.png_path)):
        click.echo(f"  {path}{'' if path.exists() else '  (not on disk)'}")


@images.command()
@filter_options
@click.argument("directory", type=PATH)
@click.option("--image", "ids", type=click.IntRange(min=0), multiple=True, help="Number of an image; repeat it.")
@click.option("--pbcor", is_flag=True, help="Take the images corrected for the primary beam.")
@click.option("--safe-names", is_flag=True, help="Write names without colons.")
@click.option("--link", is_flag=True, help="Make symbolic links instead of copies.")
@click.option("--limit", type=click.IntRange(min=1), help="Maximum number of images.  [default: all]")
def get(
    images: ImageFilter, directory: Path, ids: tuple[int, ...], pbcor: bool, safe_names: bool, link: bool,
    limit: int | None,
) -> None:  # fmt: skip
    """Copy or link the FITS files of a selection of images.

    They are written into DIRECTORY, with a manifest of SHA-256 checksums.
    """
    selection = ImageFilter(**{**vars(images), "ids": ids or None})
    with open_store() as store:
        records = store.products.find_images(selection, limit)
    if not records:
        raise BadInput("no image fits these conditions; `contimg images list` lists images by the same ones")
    files = list_files(records, corrected=pbcor, safe_names=safe_names)
    bundled = write_bundle(files, directory, link=link)
    missing = [file.file for file in bundled if file.sha256 is None]
    size_gb = sum(file.size_bytes or 0 for file in bundled) / 1e9
    verb = "linked" if link else "copied"
    click.echo(f"{len(bundled) - len(missing)} files, {size_gb:.3g} GB, {verb} into {directory}")
    click.echo(f"{directory / MANIFEST}: numbers and checksums; check them with `sha256sum --check {CHECKSUMS}`")
    if missing:
        first = missing[0].name
        raise BadInput(f"{len(missing)} files are not on disk, {first} the first; `contimg groups retry` makes them")


def _line(image: StoredImage) -> str:
    calibrated = "calibrated" if image.calibration_set else "uncalibrated"
    numbers = f"noise {format_flux(image.rms_jy)}/beam", f"peak {format_flux(image.peak_jy)}/beam"
    centre = format_position(image.ra_deg, image.dec_deg)
    return "  ".join((f"{image.id:6d}", image.group, f"{image.verdict or 'ungraded':<8}", centre, *numbers, calibrated))


def _numbers(image: StoredImage) -> dict[str, str]:
    """The numbers of an image with their units, by name."""
    thermal, ratio = image.expected_rms_jy, image.catalogue_flux_ratio
    beam = f"{image.beam_major_arcsec:.1f} x {image.beam_minor_arcsec:.1f} arcsec, {image.beam_angle_deg:.0f} deg"
    unflagged = image.unflagged_fraction
    return {
        "observed, middle": format_utc(image.observed_at),
        "centre (ICRS)": format_position(image.ra_deg, image.dec_deg),
        "noise": f"{format_flux(image.rms_jy)}/beam",
        "noise over thermal": "-" if not thermal else f"{image.rms_jy / thermal:.2f}",
        "peak": f"{format_flux(image.peak_jy)}/beam",
        "dynamic range": f"{image.dynamic_range:.0f}",
        "flux over catalogue": "-" if ratio is None else f"{ratio:.2f}",
        "samples left": "-" if unflagged is None else f"{100 * unflagged:.1f} %",
        "synthesized beam": beam,
        "frequency": f"{image.freq_hz / 1e6:.1f} MHz",
        "caltable set": image.calibration_set or f"none: {image.calibration_note or 'no set was applied'}",
        "calibration class": image.age_text or "-",
    }
