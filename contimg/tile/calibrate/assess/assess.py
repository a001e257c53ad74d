"""Measure a set of tables on disk: its numbers, as `quality` judges them."""

from collections.abc import Sequence
from pathlib import Path

from contimg.errors import BadInput
from contimg.formats.caltables import tables
from contimg.formats.caltables.caltable_set import CalibrationSet
from contimg.formats.ms.info import MSInfo
from contimg.tile.calibrate.apply import inverse_gains
from contimg.tile.calibrate.assess import quality
from contimg.tile.calibrate.assess.residual import residual
from contimg.tile.calibrate.options import SolutionLimits


def assess(
    one: CalibrationSet,
    live: Sequence[str],
    limits: SolutionLimits,
    *,
    phases: Path | None = None,
    tile: MSInfo | None = None,
    solving_set: Path | None = None,
    previous: CalibrationSet | None = None,
) -> quality.SetNumbers:
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
    numbers = {path.name: quality.table_numbers(tables.read(path), live, limits.outlier_factor) for path in one.paths}
    scatter = quality.phase_scatter_deg(tables.read(phases)) if phases else None
    left = residual(solving_set, inverse_gains(one, tile)) if tile and solving_set else None
    turned, grown = _change(one, tile, previous) if tile and previous else (None, None)
    return quality.SetNumbers(
        tables=numbers,
        phase_scatter_deg=scatter,
        residual=left,
        previous=previous.name if previous and turned is not None else None,
        phase_change_deg=turned,
        amplitude_change=grown,
    )


def _change(one: CalibrationSet, tile: MSInfo, previous: CalibrationSet) -> tuple[float, float] | tuple[None, None]:
    try:
        ratio = inverse_gains(previous, tile) / inverse_gains(one, tile)
    except BadInput:
        return None, None  # a set of the past that is gone or spoilt says nothing about this one
    turned, grown = quality.change(ratio, tile.antenna_names.index(one.reference_antenna))
    return (turned, grown) if turned == turned else (None, None)
