"""`contimg publish`: the published survey as a directory with a manifest."""

import time
from pathlib import Path

import click

from contimg.cli.shared import PATH, as_json_option, open_store, print_json
from contimg.cli.tile.images import parse_mjd
from contimg.common.errors import BadInput, Misconfigured
from contimg.common.options import Choice
from contimg.common.units import number_of
from contimg.quality.grades import GOOD, GRADES
from contimg.store import LIVE
from contimg.store.survey.publication import PublicationSelection
from contimg.survey.publication import Publication, preview, republish
from contimg.survey.publication import publish as write_publication
from contimg.survey.publication import verify as find_faults


class _PublishGroup(click.Group):
    """A group whose command `make` need not be named: `contimg publish OUT`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; those that begin with no command are of `make`."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_PublishGroup)
def publish() -> None:
    """Publish good mosaics, catalogue and light curves.

    `contimg publish OUT` is short for `contimg publish make OUT`.
    """


@publish.command()
@click.argument("directory", type=PATH, metavar="OUT")
@click.option("--from", "since_mjd", metavar="UTC", callback=parse_mjd, help="Epochs that begin at or after this time.")
@click.option("--to", "until_mjd", metavar="UTC", callback=parse_mjd, help="Epochs that begin before this time.")
@click.option("--declination", type=float, help="Only the strip of this apparent declination, deg.")
@click.option("--processing", default=LIVE, show_default=True, help="Processing: live or a campaign's name.")
@click.option(
    "--grade", "grades", type=Choice(GRADES), multiple=True, default=(GOOD,), show_default=True,
    help="QA grade of the mosaics; may be repeated.",
)  # fmt: skip
@click.option("--hips/--no-hips", "has_hips", default=True, show_default=True, help="Make the HiPS and the MOC.")
@click.option(
    "--from-manifest", "manifest", type=PATH, help="Make the publication of this manifest.json again, bit for bit."
)
@click.option("--dry-run", is_flag=True, help="Print what would be published, and write nothing.")
@as_json_option
def make(
    directory: Path, since_mjd: float | None, until_mjd: float | None, declination: float | None, processing: str,
    grades: tuple[str, ...], has_hips: bool, manifest: Path | None, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write OUT, or bring it up to date.

    OUT has the mosaics with weight and noise maps, the catalogue, measurements and light curves (Parquet, VOTable), the
    HiPS and MOC, and a manifest with checksums. It is written under a temporary name and renamed.
    """
    if manifest is not None:
        _print(_make_again(manifest, directory), as_json=as_json)
        return
    selection = PublicationSelection(
        processing=processing, grades=tuple(dict.fromkeys(grades)), since_mjd=since_mjd, until_mjd=until_mjd,
        declination_deg=declination,
    )  # fmt: skip
    with open_store() as store:
        if not dry_run:
            _print(
                write_publication(store, directory, selection, clock=time.time, has_hips=has_hips), as_json=as_json
            )  # fmt: skip
            return
        contents = preview(store, selection)
    if as_json:
        print_json(contents)
        return
    click.echo(f"{number_of(contents.mosaics, 'mosaic')}, {contents.bytes / 1e9:.3f} GB of FITS files")
    for path in contents.missing:
        click.echo(f"contimg: not on disk: {path}", err=True)


@publish.command()
@click.argument("directory", type=PATH)
@as_json_option
def verify(directory: Path, as_json: bool) -> None:
    """Compare a publication with its manifest.

    Each file that is missing, changed or not in the manifest is named; the exit status is then 3.
    """
    faults = find_faults(directory)
    if as_json:
        print_json(list(faults))
    else:
        for fault in faults:
            click.echo(f"{fault.path}: {fault.reason}")
    if faults:
        files = number_of(len(faults), "file")
        raise BadInput(f"{directory}: {files} not as in the manifest; publish again, or restore from a copy")
    if not as_json:
        click.echo(f"{directory}: every file is as in the manifest")


def _make_again(manifest: Path, directory: Path) -> Publication:
    """Make a publication again, also on a machine without a store."""
    try:
        with open_store() as store:
            return republish(manifest, directory, store)
    except Misconfigured:
        return republish(manifest, directory, None)


def _print(publication: Publication, *, as_json: bool) -> None:
    if as_json:
        print_json(publication)
        return
    counts = ", ".join(
        (number_of(publication.mosaics, "mosaic"), number_of(publication.sources, "source"),
         number_of(publication.measurements, "measurement"), number_of(publication.light_curves, "light curve"))
    )  # fmt: skip
    state = "" if publication.is_changed else "; nothing has changed"
    click.echo(f"{publication.directory}: {counts}{state}")
    if publication.from_manifest:
        click.echo(f"{number_of(len(publication.from_manifest), 'file')} from the manifest's directory", err=True)
