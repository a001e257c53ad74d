"""Take the flux scale of a variable calibrator's set from an earlier set, as the field's `fluxscale` does.

The antennas' amplitudes hardly change from one night to the next, a blazar's flux does: what the new amplitudes are
over the old ones, squared, is the source's true flux over the one assumed.
"""

from pathlib import Path

import numpy as np

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.formats.ms.writable import writable
from contimg.tile.calibrate.apply import inverse_gains


def flux_ratio(new: CaltableSet, old: CaltableSet, tile: MSInfo) -> float:
    """True over assumed flux of the calibrator of `new`; BadInput when the sets share no solution."""
    with np.errstate(all="ignore"):
        ratio = np.abs(inverse_gains(old, tile)) / np.abs(inverse_gains(new, tile))
    shared = ratio[np.isfinite(ratio)]
    if not shared.size:
        raise BadInput(f"{new.directory}: no antenna and channel in common with {old.name}, whose flux scale it needs")
    return float(np.median(shared)) ** 2


def rescale(gains: Path, ratio: float) -> None:
    """Divide the amplitudes of a table by the root of a flux ratio, in place."""
    with writable(gains) as main:
        main.putcol("CPARAM", (main.getcol("CPARAM") / np.sqrt(ratio)).astype(np.complex64))
