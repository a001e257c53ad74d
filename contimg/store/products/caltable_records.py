"""Records of caltable sets, as readers get them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from contimg.formats.records import Page, about
from contimg.instrument.time import mjd_to_unix


@dataclass(frozen=True)
class Caltable:
    """One caltable of a set: `kind` is bandpass, gain or delay."""

    path: Annotated[
        Path,
        about(
            "The caltable on the pipeline's machine",
            example="/data/products/caltables/2026-02-22T01:35:20/2026-02-22T01:35:20.bcal",
        ),
    ]
    kind: Annotated[str, about("bandpass, gain or delay", example="bandpass")]


@dataclass(frozen=True)
class StoredCaltableSet:
    """A caltable set of the registry."""

    name: Annotated[str, about("Name of the set", example="2026-02-22T01:35:20")]
    tables: Annotated[tuple[Caltable, ...], about("Caltables in the order in which they are applied")]
    calibrator: Annotated[str, about("The source that was observed", example="3C48")]
    mjd: Annotated[float, about("When the source was observed, MJD, UTC", "d", 61093.067894)]
    valid_from_mjd: Annotated[float, about("Beginning of the validity of its bandpass, MJD, UTC", "d", 61092.567894)]
    valid_to_mjd: Annotated[float, about("End of the validity of its bandpass, MJD, UTC", "d", 61094.067894)]
    gains_valid_from_mjd: Annotated[
        float | None,
        about("Beginning of the validity of its gains, MJD, UTC; null where it is not known", "d", 61093.026),
    ]
    gains_valid_to_mjd: Annotated[
        float | None, about("End of the validity of its gains, MJD, UTC; null where it is not known", "d", 61093.11)
    ]
    reference_antenna: Annotated[str | None, about("Name of the reference antenna", example="103")]
    quality: Annotated[
        Mapping[str, Any],
        about(
            "Numbers of the solutions, by name",
            "keys end in the unit",
            {"flagged_fraction": 0.04, "bandpass": {"snr": 38.0}},
        ),
    ]
    group: Annotated[
        str | None,
        about("Id of the tile that it was solved on; null for an imported set", example="2026-02-22T01:35:20"),
    ]
    superseded_by: Annotated[str | None, about("Name of the set that replaced it", example="2026-02-22T01:35:20_b")]
    created_at: Annotated[float, about("When it was registered")]
    dec_deg: Annotated[
        float | None, about("Declination strip that it is valid for, ICRS; null for any", "deg", 33.16)
    ] = None
    grade: Annotated[str, about("QA grade: good or suspect", example="good")] = field(kw_only=True)
    reasons: Annotated[
        tuple[str, ...], about("Why the grade is not good", example=["phases of antenna 17 scatter by 31 deg"])
    ] = ()
    retired: Annotated[
        str | None,
        about("Why an operator retired it; null while it is not retired", example="wrong flux scale (operator)"),
    ] = None

    @property
    def observed_at(self) -> Annotated[float, about("When the source was observed")]:
        """When the source was observed, epoch seconds."""
        return mjd_to_unix(self.mjd)

    @property
    def valid_from(self) -> Annotated[float | None, about("Beginning of the validity; null for no beginning")]:
        """Beginning of the validity, epoch seconds; None for no beginning."""
        return mjd_to_unix(self.valid_from_mjd) if isfinite(self.valid_from_mjd) else None

    @property
    def valid_until(self) -> Annotated[float | None, about("End of the validity; null for no end")]:
        """End of the validity, epoch seconds; None for no end."""
        return mjd_to_unix(self.valid_to_mjd) if isfinite(self.valid_to_mjd) else None

    @property
    def gains_valid_from(
        self,
    ) -> Annotated[float | None, about("Beginning of the validity of its gains; null where it is not known")]:
        """Beginning of the validity of its gains, epoch seconds; None where it is not known."""
        return None if self.gains_valid_from_mjd is None else mjd_to_unix(self.gains_valid_from_mjd)

    @property
    def gains_valid_until(
        self,
    ) -> Annotated[float | None, about("End of the validity of its gains; null where it is not known")]:
        """End of the validity of its gains, epoch seconds; None where it is not known."""
        return None if self.gains_valid_to_mjd is None else mjd_to_unix(self.gains_valid_to_mjd)

    def is_valid_at(self, mjd: float) -> bool:
        """Tell whether its bandpass is valid at a time.

        Parameters
        ----------
        mjd : days, UTC.
        """
        return self.valid_from_mjd <= mjd <= self.valid_to_mjd

    @property
    def in_force(self) -> Annotated[bool, about("Whether it may be applied", example=True)]:
        """Whether it may be applied: neither superseded nor retired."""
        return self.superseded_by is None and self.retired is None


@dataclass(frozen=True, kw_only=True)
class CalibrationList(Page):
    """Caltable sets, the latest observed first."""

    calibrations: Annotated[tuple[StoredCaltableSet, ...], about("Caltable sets, the latest observed first")]


@dataclass(frozen=True)
class OutdatedTile:
    """A tile calibrated with the set `applied` that would now get the set `better`, or a newer one of the same name.

    `second` is the set that the gains would be interpolated with, if any.
    """

    group: str
    path: Path
    applied: str | None
    better: str
    second: str | None = None
