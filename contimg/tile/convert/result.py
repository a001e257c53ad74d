"""What the convert stage returns."""

from dataclasses import dataclass

from contimg.tile.products import ConvertedMS


@dataclass(frozen=True)
class FlagCounts:
    """How many values are flagged, by the first reason that holds.

    Attributes
    ----------
    given : flagged in the file.
    not_a_number, too_large, zero : visibilities that no correlator gives (infinite ones are too large).
    no_samples : nsamples zero, negative or not finite.
    absent : rows that a file lacks and others of its group have.
    """

    given: int = 0
    not_a_number: int = 0
    too_large: int = 0
    zero: int = 0
    no_samples: int = 0
    absent: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.given + self.not_a_number + self.too_large + self.zero + self.no_samples + self.absent

    def __str__(self) -> str:
        said = {
            "in the files": self.given,
            "not numbers": self.not_a_number,
            "too large": self.too_large,
            "zero": self.zero,
            "without samples": self.no_samples,
            "absent": self.absent,
        }
        return ", ".join(f"{count} {reason}" for reason, count in said.items() if count) or "none"


@dataclass(frozen=True, kw_only=True)
class Conversion(ConvertedMS):
    """Result of the convert stage: the Measurement Set and the work that it took.

    Attributes
    ----------
    rows : int
        Rows of the main table.
    subbands : int
        Subband files converted.
    bytes_read : int
        Size of the subband files.
    seconds : float
        Time of the conversion, s.
    flags : FlagCounts
        Why values are flagged.
    """

    rows: int
    subbands: int
    bytes_read: int
    seconds: float
    flags: FlagCounts = FlagCounts()
