"""`contimg convert INPUT_DIR OUTPUT_DIR START END`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from contimg.conversion import ENVIRONMENT, ConvertOptions
from contimg.conversion import convert as convert_group
from contimg.errors import BadFile, BadInput
from contimg.incoming import groups_in
from contimg.options import flags, from_flags
from contimg.subbands import seconds_of
from contimg.telescope import BAND


def moment(text: str) -> float:
    """Epoch seconds of a UTC time in any ISO 8601 form; a time without a zone is UTC."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-02-22T23:17:51") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.argument("input_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
@click.argument("start", type=moment)
@click.argument("end", type=moment)
@click.option(
    "--min-subbands", default=BAND.subbands, show_default=True, help="Convert a group that has at least these."
)
@flags(ConvertOptions, ENVIRONMENT)
def convert(input_dir: Path, output_dir: Path, start: float, end: float, min_subbands: int, **given: Any) -> None:
    """Convert the groups in INPUT_DIR whose time lies from START to END (UTC) to OUTPUT_DIR/<group>.ms.

    A bad file is named and left out; its group is converted without it when enough others remain.
    """
    options = from_flags(ConvertOptions, given)
    chosen = {name: files for name, files in groups_in(input_dir).items() if start <= seconds_of(name) <= end}
    if not chosen:
        raise BadInput(f"{input_dir}: no group of subband files between these times; check START and END (UTC)")
    failed = 0
    for name, files in chosen.items():
        try:
            made = _convert_good(files, output_dir / f"{name}.ms", min_subbands, options)
            click.echo(f"{made.path}  {made.subbands} subbands  {made.bytes_read / 1e6:.0f} MB  {made.seconds:.1f} s")
        except BadInput as error:
            failed += 1
            click.echo(f"contimg: {error}", err=True)
    if failed:
        raise BadInput(f"{failed} of {len(chosen)} groups were not converted; the lines above say why")


def _convert_good(files: dict[int, Path], target: Path, min_subbands: int, options: ConvertOptions) -> Any:
    """Convert with one bad file after the other left out, while at least `min_subbands` remain."""
    while len(files) >= min_subbands:
        try:
            return convert_group(files, target, options)
        except BadFile as error:
            if len(files) == min_subbands:
                raise
            click.echo(f"contimg: left out {error}", err=True)
            files = {subband: path for subband, path in files.items() if path != error.path}
    name = target.name.removesuffix(".ms")
    raise BadInput(f"group {name}: incomplete, {len(files)} of {BAND.subbands} subbands; --min-subbands takes fewer")
