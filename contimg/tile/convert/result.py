"""What the convert stage returns."""

from dataclasses import dataclass
from pathlib import Path


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


@dataclass(frozen=True)
class ConvertedMS:
    """The product of the convert stage.

    Attributes
    ----------
    path : the Measurement Set.
    group : the group's name.
    start_mjd, end_mjd : begin of the first and end of the last integration, UTC, days.
    ra_deg, dec_deg : phase centre, ICRS.
    rows, channels, antennas : its size; antennas with data.
    subbands : how many files went in.
    missing : subbands left as flagged gaps.
    flagged_fraction : of the values of the subbands that are there.
    bytes_read, bytes_written, seconds : the work.
    flags : why values are flagged.
    """

    path: Path
    group: str
    start_mjd: float
    end_mjd: float
    ra_deg: float
    dec_deg: float
    rows: int
    channels: int
    antennas: int
    subbands: int
    missing: tuple[int, ...]
    flagged_fraction: float
    bytes_read: int
    bytes_written: int
    seconds: float
    flags: FlagCounts = FlagCounts()
