"""The result of the convert stage."""

from collections.abc import Mapping
from dataclasses import dataclass

from contimg.tile.products import ConvertedMS


@dataclass(frozen=True, kw_only=True)
class Conversion(ConvertedMS):
    """Result of the convert stage: the Measurement Set and how it was made.

    Attributes
    ----------
    rows : of the main table.
    subbands : number of files.
    bytes_read : size of the files.
    seconds : duration of the stage.
    flags : number of flagged values by reason, see `contimg.tile.convert.visibilities.FLAG_REASONS`.
    notes : corrections of what the headers have; the stream writes them into its event log.
    """

    rows: int
    subbands: int
    bytes_read: int
    seconds: float
    flags: Mapping[str, int]
    notes: tuple[str, ...] = ()
