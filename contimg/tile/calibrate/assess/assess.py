"""Measure a set of tables on disk: its numbers, as `quality` judges them."""

from collections.abc import Sequence
from pathlib import Path

from contimg.errors import BadInput
from contimg.formats.caltables import tables
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.quality import caltables as quality
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.apply import inverse_gains
from contimg.tile.calibrate.assess.residual import residual


def assess(
    caltable_set: CaltableSet,
    live: Sequence[str],
    limits: SolutionLimits,
    *,
    phases: Path | None = None,
    tile: MSInfo | None = None,
    solving_set: Path | None = None,
    previous: CaltableSet | None = None,
) -> quality.CaltableSetNumbers:
    """The numbers of a set.

    Parameters
    ----------
    live : names of the antennas that had unflagged data.
    phases : a table of phases by the minute, whose scatter is that of the transit.
    tile, solving_set : what the set was solved on, for the residual.
    previous : an earlier set of the same strip and band, to compare with.

    Raises
    ------
    BadInput : a table is missing, unreadable or without any solution.
    """
    numbers = {
        path.name: quality.measure_caltable(tables.read(path), live, limits.outlier_factor)
        for path in caltable_set.paths
    }
    scatter = quality.measure_phase_scatter_deg(tables.read(phases)) if phases else None
    left = residual(solving_set, inverse_gains(caltable_set, tile)) if tile and solving_set else None
    turned, grown = _change(caltable_set, tile, previous) if tile and previous else (None, None)
    return quality.CaltableSetNumbers(
        caltables=numbers,
        phase_scatter_deg=scatter,
        residual=left,
        previous=previous.name if previous and turned is not None else None,
        phase_change_deg=turned,
        amplitude_change=grown,
    )


def _change(caltable_set: CaltableSet, tile: MSInfo, previous: CaltableSet) -> tuple[float, float] | tuple[None, None]:
    try:
        ratio = inverse_gains(previous, tile) / inverse_gains(caltable_set, tile)
    except BadInput:
        return None, None  # a set of the past that is gone or spoilt says nothing about this one
    turned, grown = quality.measure_change(ratio, tile.antenna_names.index(caltable_set.reference_antenna))
    return (turned, grown) if turned == turned else (None, None)
