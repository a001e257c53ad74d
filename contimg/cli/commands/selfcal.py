"""`contimg selfcal`: self-calibrate one calibrated Measurement Set on its own image."""

from pathlib import Path
from typing import Any

import click

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.options import flags, from_flags
from contimg.tile.image import ImageOptions
from contimg.tile.selfcal.run import SelfcalOptions
from contimg.tile.selfcal.run import selfcal as selfcal_stage


@click.command()
@click.argument("ms", type=click.Path(path_type=Path))
@flags(SelfcalOptions)
def selfcal(ms: Path, **given: Any) -> None:
    """Refine the calibration of the Measurement Set MS on its own sources; kept only where the noise falls."""
    ms = Path(str(ms).rstrip("/"))
    options = from_flags(SelfcalOptions, given)
    done = selfcal_stage(ms, applied_set(ms), options, ImageOptions.from_environment())
    for one in done.rounds:
        noise = f"noise {one.before_jy * 1e3:.3g} to {one.after_jy * 1e3:.3g} mJy/beam"
        click.echo(f"{one.kind:<10} {one.sources} sources, {noise}, {'kept' if one.kept else 'not kept'}")
    click.echo(f"{'changed' if done.changed else 'unchanged'}  {done.reason}")


def applied_set(ms: Path) -> CaltableSet:
    """The set that a Measurement Set's CORRECTED_DATA names; BadInput when it is uncalibrated."""
    from casacore.tables import table

    from contimg.formats.ms.columns import read_calibration_record
    from contimg.formats.ms.info import read_ms_info

    with table(str(read_ms_info(ms).path), ack=False) as main:
        note = read_calibration_record(main, "CORRECTED_DATA")
    if note is None or not note.get("set"):
        raise BadInput(f"{ms}: not calibrated; run `contimg calibrate` first")
    return CaltableSet.read(Path(note["tables"][0]).parent)
