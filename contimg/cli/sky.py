"""`contimg catalogue`: reference catalogues of the sky, built, listed, queried, merged and checked."""

from collections.abc import Mapping
from pathlib import Path

import click

from contimg.cli.shared import PATH, as_json_option, limit_option, print_json, print_list, print_record
from contimg.common.errors import BadInput, Misconfigured
from contimg.common.files.names import check_name
from contimg.common.options import Choice
from contimg.common.units import format_flux, format_position, format_utc
from contimg.formats.records import to_plain
from contimg.settings import Settings, load
from contimg.sky.catalogue import Catalogue, CatalogueSources, installed_catalogues, open_catalogue, reference_catalogue
from contimg.sky.catalogue.build import BuildOptions, build_catalogue
from contimg.sky.catalogue.catalogue import catalogue_path
from contimg.sky.catalogue.check import CatalogueCheck, check_catalogue
from contimg.sky.catalogue.merge import merge_catalogues
from contimg.sky.catalogue.presets import PRESETS, find_preset, parse_columns

_replace_option = click.option("--replace", is_flag=True, help="Replace an installed catalogue of this name.")


def _parse_columns(_ctx: click.Context, _param: click.Parameter, value: str) -> Mapping[str, str]:
    try:
        return parse_columns(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group()
def catalogue() -> None:
    """Build, list, query, merge and check reference catalogues."""


@catalogue.command()
@click.argument("name")
@click.argument("table", type=PATH)
@click.option(
    "--preset",
    type=Choice(tuple(PRESETS)),
    default=None,
    show_default="the one that NAME begins with",
    help="Published catalogue whose columns and units the table has.",
)
@click.option(
    "--columns",
    default="",
    callback=_parse_columns,
    metavar="KEY=COLUMN,...",
    help="Columns of the table: ra=RA,dec=DEC,flux=S; of text its bytes (ra=41-51) or words (ra=w1-w3).",
)
@click.option("--flux-unit", type=Choice(("Jy", "mJy", "uJy")), help="Unit of the fluxes.  [default: the table's]")
@click.option("--frequency-mhz", type=click.FloatRange(min=1), help="Frequency of the fluxes [MHz].")
@click.option("--beam-arcsec", type=click.FloatRange(min=0, min_open=True), help="Beam of the survey, FWHM [arcsec].")
@click.option("--flux-limit-mjy", type=click.FloatRange(min=0), help="Flux above which the table is complete [mJy].")
@click.option(
    "--spectral-index",
    type=click.FloatRange(-5, 5),
    default=-0.7,
    show_default=True,
    help="Spectral index that is assumed where a source has none.",
)
@click.option(
    "--confusion-beam-arcsec",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default="the larger of the survey's and 45",
    help="Beam within which neighbours count as confusing [arcsec].",
)
@click.option(
    "--incomplete",
    is_flag=True,
    help="The table is a list of chosen sources: its fluxes need not fit the source counts.",
)
@_replace_option
@as_json_option
def build(
    name: str, table: Path, preset: str | None, columns: Mapping[str, str], flux_unit: str | None,
    frequency_mhz: float | None, beam_arcsec: float | None, flux_limit_mjy: float | None, spectral_index: float,
    confusion_beam_arcsec: float, incomplete: bool, replace: bool, as_json: bool,
) -> None:  # fmt: skip
    """Build a catalogue from a survey's table.

    TABLE is FITS, VOTable, CSV, TSV or text, and may be compressed with gzip. The catalogue NAME is installed in the
    state directory. Fluxes that differ from the source counts at 1.4 GHz by a factor of 10 or more are refused.
    """
    options = BuildOptions(
        preset=preset or find_preset(name), columns=columns, flux_unit=flux_unit or "",
        frequency_hz=None if frequency_mhz is None else frequency_mhz * 1e6, beam_arcsec=beam_arcsec,
        flux_limit_jy=None if flux_limit_mjy is None else flux_limit_mjy / 1e3, spectral_index=spectral_index,
        confusion_beam_arcsec=confusion_beam_arcsec, is_complete=not incomplete,
    )  # fmt: skip
    print_record(build_catalogue(_new_path(name, replace), name, table, options), _line, as_json=as_json)


@catalogue.command("list")
@as_json_option
def list_catalogues(as_json: bool) -> None:
    """List the installed catalogues.

    An asterisk marks the one that images are compared with.
    """
    settings = Settings.from_environment()
    catalogues = [open_catalogue(path) for path in installed_catalogues(settings.state_dir)]
    reference = settings.reference_path
    none = "no catalogue is installed; `contimg catalogue build` builds one from a survey's table"
    print_list(
        catalogues, lambda entry: f"{'*' if entry.path == reference else ' '} {_line(entry)}", none, as_json=as_json
    )


@catalogue.command()
@click.argument("name", required=False, default="")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show what a catalogue is and where it comes from.

    NAME is an installed catalogue or the path of a file; without it the one that images are compared with is shown.
    """
    opened = _open(name)
    if as_json:
        print_json(opened)
        return
    click.echo(_line(opened))
    for label, text in _numbers(opened).items():
        click.echo(f"  {label:<18}  {text}")


@catalogue.command(context_settings={"ignore_unknown_options": True})
@click.argument("ra_deg", metavar="RA", type=float)
@click.argument("dec_deg", metavar="DEC", type=float)
@click.argument("radius_deg", metavar="RADIUS", type=float)
@click.option(
    "--catalogue", "name", default="", help="Installed catalogue or path of a file.  [default: the reference]"
)
@click.option("--min-flux-mjy", type=click.FloatRange(min=0), default=0.0, help="Lowest flux [mJy].")
@limit_option(20)
@as_json_option
def query(
    ra_deg: float, dec_deg: float, radius_deg: float, name: str, min_flux_mjy: float, limit: int, as_json: bool
) -> None:
    """List the sources around a position, brightest first.

    RA, DEC and RADIUS are degrees (ICRS).
    """
    opened = _open(name)
    sources = opened.cone(ra_deg, dec_deg, radius_deg, min_flux_jy=min_flux_mjy / 1e3)
    brightest = sources[(-sources.flux_jy).argsort(kind="stable")[:limit]]
    rows = _rows(opened, brightest)
    if as_json:
        print_json({"catalogue": opened, "total": len(sources), "sources": rows})
        return
    print_list(rows, _source_line, f"{opened.label}: no source there", as_json=False)
    if len(sources) > limit:
        click.echo(f"{limit} of {len(sources)} sources; --limit {len(sources)} lists all", err=True)


@catalogue.command()
@click.argument("name")
@click.argument("catalogues", nargs=-1, required=True)
@click.option(
    "--radius-arcsec",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default="half of the larger beam",
    help="Greatest separation of a match [arcsec].",
)
@_replace_option
@as_json_option
def merge(name: str, catalogues: tuple[str, ...], radius_arcsec: float, replace: bool, as_json: bool) -> None:
    """Merge catalogues into one reference list.

    CATALOGUES are two or more, the one whose fluxes are kept first. Sources are identified with each other on the
    sphere; `contimg catalogue query --json` shows the identifications.
    """
    opened = [_open(word) for word in catalogues]
    merged = merge_catalogues(_new_path(name, replace), name, opened, radius_arcsec / 3600)
    print_record(merged, _line, as_json=as_json)


@catalogue.command()
@click.argument("name", required=False, default="")
@as_json_option
def check(name: str, as_json: bool) -> None:
    """Check a catalogue's file, its digest and its fluxes.

    The fluxes are compared with the source counts at 1.4 GHz. Exit status 3 when something is wrong.
    """
    checked = check_catalogue(_open(name))
    print_record(checked, _check_line, as_json=as_json)
    if checked.faults:
        raise BadInput(f"{checked.path}: {checked.faults[0]}")


@catalogue.command("from-mosaics")
@click.argument("name")
@click.argument("images", nargs=-1, type=PATH)
@click.option(
    "--sigma",
    type=click.FloatRange(min=3),
    default=7.0,
    show_default=True,
    help="Minimum peak of a source over the local noise.",
)
@_replace_option
@as_json_option
def from_mosaics(name: str, images: tuple[Path, ...], sigma: float, replace: bool, as_json: bool) -> None:
    """Make a catalogue from the pipeline's own images.

    IMAGES are FITS images of mosaics or tiles, the best ones; without any the mosaics that are graded good. Sources
    are found blindly. The catalogue's kind is `pipeline`, so that whatever is compared with it says that it is the
    pipeline's own.
    """
    from contimg.epoch.pipeline_catalogue import best_mosaics, catalogue_from_images

    path, directory = _new_path(name, replace), load(Settings.from_environment()).output_dir / "mosaics"
    chosen = images or best_mosaics(directory)
    if not chosen:
        raise BadInput(f"{directory}: no mosaic that is graded good; give images")
    written = catalogue_from_images(path, name, chosen, sigma)
    print_record(written, _line, as_json=as_json)


def _new_path(name: str, replace: bool) -> Path:
    """Path of a catalogue to be written."""
    check_name(name, "catalogue")
    path = catalogue_path(Settings.from_environment().state_dir, name)
    if path.exists() and not replace:
        raise BadInput(f"{path}: exists; give another name, or --replace")
    return path


def _open(name: str) -> Catalogue:
    settings = Settings.from_environment()
    path = reference_catalogue(settings.state_dir, name) if name else settings.reference_path
    if path is None:
        installed = [path.stem for path in installed_catalogues(settings.state_dir)]
        problem = (
            f"several catalogues and none of them is the reference; name one of {', '.join(installed)}, or set "
            "CONTIMG_REFERENCE_CATALOGUE"
            if installed
            else "no catalogue is installed; `contimg catalogue build` builds one, or give another --state-dir"
        )
        raise Misconfigured(f"{settings.state_dir.absolute()}: {problem}")
    return open_catalogue(path)


def _line(entry: Catalogue) -> str:
    limit = format_flux(entry.flux_limit_jy) if entry.flux_limit_jy else "not known"
    return (
        f"{entry.name:<12}  {entry.kind:<9}  {entry.n_sources:>8} sources  {entry.frequency_hz / 1e6:.0f} MHz  "
        f"limit {limit}  version {entry.version}"
    )


def _numbers(entry: Catalogue) -> dict[str, str]:
    ratio = entry.count_ratio
    return {
        "file": str(entry.path),
        "written": format_utc(entry.created_at),
        "source table": entry.source_table,
        "made from": ", ".join(entry.inputs),
        "beam": f"{entry.beam_deg * 3600:.3g} arcsec",
        "confusion beam": f"{entry.confusion_beam_deg * 3600:.3g} arcsec",
        "spectral index": f"{entry.spectral_index:g} where a source has none",
        "area": f"{entry.area_deg2:.0f} square degrees",
        "flux over counts": "too few sources" if ratio is None else f"{ratio:.2f}",
    }


def _rows(opened: Catalogue, sources: CatalogueSources) -> list[dict[str, object]]:
    """Sources as records: columns by name, NaN as None, and the identifications of merged ones."""
    names, columns = zip(*((name, column.tolist()) for name, column in sources.columns()), strict=True)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return [
        {name: None if value != value else value for name, value in row.items()}
        | {"identifications": to_plain(opened.identifications(str(row["source_id"])))}
        for row in rows
    ]


def _source_line(row: dict[str, object]) -> str:
    marks = [mark for mark in ("resolved", "confused", "isolated") if row[f"is_{mark}"]]
    position = format_position(float(str(row["ra_deg"])), float(str(row["dec_deg"])))
    return f"{row['source_id']:<24}  {position}  {format_flux(float(str(row['flux_jy']))):>9}  {', '.join(marks)}"


def _check_line(checked: CatalogueCheck) -> str:
    ratio = "too few sources" if checked.count_ratio is None else f"{checked.count_ratio:.2f}"
    return f"{checked.name}: {'; '.join(checked.faults) or 'no fault'}; flux over source counts: {ratio}"
