"""Result of the convert stage."""

from dataclasses import astuple, dataclass

from contimg.tile.products import ConvertedMS


@dataclass(frozen=True)
class FlagCounts:
    """Numbers of flagged values, each counted under the first reason that holds.

    Attributes
    ----------
    in_file : flagged in the file.
    not_a_number, too_large, zero : visibilities that no correlator writes (infinite ones are too large).
    no_samples : nsamples zero, negative or not finite.
    absent : rows that a file lacks and others of its group have.
    """

    in_file: int = 0
    not_a_number: int = 0
    too_large: int = 0
    zero: int = 0
    no_samples: int = 0
    absent: int = 0

    @property
    def total(self) -> int:
        """Number of flagged values."""
        return sum(astuple(self))

    def __str__(self) -> str:
        reasons = ("in the files", "not numbers", "too large", "zero", "without samples", "absent")
        counts = zip(astuple(self), reasons, strict=True)
        return ", ".join(f"{count} {reason}" for count, reason in counts if count) or "none"


@dataclass(frozen=True, kw_only=True)
class Conversion(ConvertedMS):
    """Result of the convert stage: the Measurement Set and how it was made.

    Attributes
    ----------
    rows : of the main table.
    subbands : number of files.
    bytes_read : size of the files.
    seconds : duration of the stage.
    flags : numbers of flagged values by reason.
    """

    rows: int
    subbands: int
    bytes_read: int
    seconds: float
    flags: FlagCounts = FlagCounts()
