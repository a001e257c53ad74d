"""`contimg simulate OUT`: subband groups of a known sky, exactly as the telescope writes them."""

from pathlib import Path
from typing import Any

import click

from contimg.options import flags, from_flags
from contimg.simulation import SimulateOptions
from contimg.simulation import simulate as run_simulation


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@flags(SimulateOptions)
def simulate(out: Path, **given: Any) -> None:
    """Write groups of subband files of a known sky into OUT, with the truth beside them in OUT/truth.

    The first tile is a transit of 3C48, the others are targets. --antennas 96 --channels 768 is the whole
    telescope: 2.3 GB a group.
    """
    options = from_flags(SimulateOptions, given)
    for tile in run_simulation(options, out):
        click.echo(
            f"{tile.plan.group}  {len(tile.files)} subbands  {tile.size_bytes / 1e6:.0f} MB  "
            f"{len(tile.plan.sources)} sources  {tile.seconds:.1f} s"
        )
