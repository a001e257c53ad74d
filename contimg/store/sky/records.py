"""What readers of the sky get: sources with their statistics, light curves, the η–V plane, candidates."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from contimg.epoch.photometry.products import LIMIT_SIGMA, MeasurementFlag
from contimg.formats.records import NO_UNIT, Page, about
from contimg.store.epochs.mosaics import EpochKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from contimg.epoch.photometry.products import Photometry
    from contimg.sky.variability.normalisation import Normalisation
    from contimg.sky.variability.options import CandidateRule


class SourceKind(StrEnum):
    """Where a source comes from."""

    CATALOGUE = "catalogue"
    BLIND = "blind"
    ADDED = "added"


class CandidateKind(StrEnum):
    """What a candidate is a candidate of."""

    VARIABLE = "variable"
    NEW = "new"


class CandidateState(StrEnum):
    """What an observer decided about a candidate; withdrawn: its mosaic was made again and does not show it."""

    NEW = "new"
    WATCHING = "watching"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class NewSources:
    """Sources that an epoch shows and that neither the catalogue nor the store has.

    Attributes
    ----------
    names : also of their positions in the epoch's photometry.
    ra_deg, dec_deg, position_error_deg : ICRS, and the error on each axis.
    flux_jy, rms_jy : of the detection.
    novelty : of `contimg.sky.variability.association.Novelty`.
    earlier_epochs : number of earlier epochs that would have shown the source.
    """

    names: tuple[str, ...]
    ra_deg: tuple[float, ...]
    dec_deg: tuple[float, ...]
    position_error_deg: tuple[float, ...]
    flux_jy: tuple[float, ...]
    rms_jy: tuple[float, ...]
    novelty: tuple[str, ...]
    earlier_epochs: tuple[int, ...]


@dataclass(frozen=True)
class EpochMeasurements:
    """Result of the stage `measure` for an epoch.

    Attributes
    ----------
    mosaic_id : number of the mosaic that was measured; None of an image that is not in the store.
    photometry : fluxes at the positions; None where there was no position to measure.
    normalisation : of the fluxes, as the light curves use it; None where nothing was measured.
    note : what the stage did, for operators; empty for no event.
    catalogue : name of the catalogue whose ids `photometry.source_id` holds; empty for names of the store's sources.
    catalogue_normalisation : against the catalogue alone; it is recorded.
    new_sources : sources that become the store's with this epoch; None without any.
    rule : which sources become candidates; None for the defaults.
    """

    mosaic_id: int | None
    photometry: "Photometry | None"
    normalisation: "Normalisation | None"
    note: str = ""
    catalogue: str = ""
    catalogue_normalisation: "Normalisation | None" = None
    new_sources: NewSources | None = None
    rule: "CandidateRule | None" = None


@dataclass(frozen=True, kw_only=True)
class SourceVariability:
    """Statistics of a source's counted measurements in one processing."""

    n: Annotated[int, about("Measurements that are counted: one for each sidereal day", "measurements", 30)]
    mean_jy: Annotated[float | None, about("Mean flux", "Jy", 0.0215)]
    weighted_mean_jy: Annotated[float | None, about("Mean flux with weights 1/σ²", "Jy", 0.0214)]
    weighted_mean_error_jy: Annotated[float | None, about("Standard error of that mean", "Jy", 0.0001)]
    eta: Annotated[float | None, about("η: reduced χ² against a constant flux; null below two points", NO_UNIT, 1.1)]
    eta_without_extreme: Annotated[
        float | None, about("η without the highest or the lowest point, the smaller", NO_UNIT, 1.0)
    ]
    modulation_index: Annotated[float | None, about("V: standard deviation over mean flux", "ratio", 0.04)]
    vs: Annotated[float | None, about("Vs between the highest and the lowest point", "σ", 2.9)]
    m: Annotated[float | None, about("m between the highest and the lowest point", "ratio", 0.12)]
    trend_jy_per_day: Annotated[float | None, about("Slope of a linear fit", "Jy/d", 0.00001)]
    trend_error_jy_per_day: Annotated[float | None, about("Standard error of the slope", "Jy/d", 0.00002)]
    first_mjd: Annotated[float, about("First point, MJD, UTC", "d", 61063.1)]
    last_mjd: Annotated[float, about("Last point, MJD, UTC", "d", 61093.1)]
    last_jy: Annotated[float, about("Flux of the last point", "Jy", 0.0221)]
    last_error_jy: Annotated[float, about("Its error", "Jy", 0.0006)]
    high_jy: Annotated[float, about("Flux of the point with the highest flux - σ", "Jy", 0.0231)]
    high_mjd: Annotated[float, about("Time of that point, MJD, UTC", "d", 61080.1)]
    low_jy: Annotated[float, about("Flux of the point with the lowest flux + σ", "Jy", 0.0201)]
    low_mjd: Annotated[float, about("Time of that point, MJD, UTC", "d", 61070.1)]


@dataclass(frozen=True, kw_only=True)
class SourceRecord:
    """A source with its statistics in one processing."""

    id: Annotated[int, about("Number of the source in the store", NO_UNIT, 41)]
    name: Annotated[str, about("Name of the source, from its position", example="J013741+330935")]
    kind: Annotated[SourceKind, about("`catalogue`, `blind` (found in a mosaic) or `added`", example="catalogue")]
    ra_deg: Annotated[float, about("Right ascension, ICRS", "deg", 24.42208)]
    dec_deg: Annotated[float, about("Declination, ICRS", "deg", 33.15976)]
    position_error_deg: Annotated[float | None, about("Error of the position", "deg", 0.0003)]
    flux_jy: Annotated[float | None, about("Flux of the catalogue, or of the first detection", "Jy", 0.021)]
    created_at: Annotated[float, about("When the source was stored")]
    identifiers: Annotated[
        dict[str, str], about("Its id in each catalogue", example={"nvss": "NVSS J013741+330935"})
    ]  # fmt: skip
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    variability: Annotated[SourceVariability | None, about("Statistics; null without a counted measurement")]
    separation_deg: Annotated[
        float | None, about("Distance from the centre of a cone; null outside a cone search", "deg", 0.01)
    ] = None


@dataclass(frozen=True, kw_only=True)
class SourceList(Page):
    """Sources, the most variable first."""

    sources: Annotated[tuple[SourceRecord, ...], about("Sources, the highest η first")]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The flux of a source in one epoch."""

    epoch: EpochKey
    mosaic_id: Annotated[int | None, about("Number of the mosaic; null where it is retired", NO_UNIT, 3)]
    mjd: Annotated[float, about("Middle of the epoch's observation, MJD, UTC", "d", 61093.14)]
    flux_jy: Annotated[float | None, about("Flux after normalisation; null without data", "Jy", 0.0221)]
    flux_error_jy: Annotated[
        float | None, about("Its error, with the systematic error of the normalisation", "Jy", 0.0006)
    ]
    measured_jy: Annotated[float | None, about("Flux before normalisation", "Jy", 0.0223)]
    local_rms_jy: Annotated[float | None, about("Noise at the position", "Jy/beam", 0.0005)]
    pb: Annotated[float | None, about("Response of the primary beam", "ratio", 0.93)]
    edge_distance_deg: Annotated[float, about("Distance from the edge of the data", "deg", 1.2)]
    centre_distance_deg: Annotated[float, about("Distance from the centre of the mosaic", "deg", 3.1)]
    blend_group: Annotated[int | None, about("Group of sources fitted together; null for one alone", NO_UNIT, 5)]
    flags: Annotated[tuple[str, ...], about("Flags, hard and soft", example=["EDGE"])]
    is_counted: Annotated[bool, about("Whether it is the point of its sidereal day in the statistics", example=True)]
    is_accepted: Annotated[bool, about("Whether the epoch's normalisation is accepted", example=True)]
    calibration_class: Annotated[str | None, about("Class of the epoch's calibration", example="same transit")]

    @property
    def limit_jy(self) -> Annotated[float | None, about("3 σ upper limit of a flux of 0", "Jy", 0.0018)]:
        """Upper limit of a flux of 0 at 3 sigma."""
        return None if self.flux_error_jy is None else LIMIT_SIGMA * self.flux_error_jy

    @property
    def uncounted_reason(
        self,
    ) -> Annotated[str | None, about("Why it is not counted; null where it is", example="another epoch of the day")]:
        """Why the measurement is not counted in the statistics; None where it is."""
        if self.is_counted:
            return None
        if self.measured_jy is None:
            return "no data"
        if not self.is_accepted:
            return "normalisation of the epoch not accepted"
        is_wrong = any(MeasurementFlag[name] & MeasurementFlag.HARD for name in self.flags)
        return "hard flag" if is_wrong else "another epoch of the day"

    @property
    def is_detected(self) -> Annotated[bool, about("Whether the flux is at least 3 σ", example=True)]:
        """Whether the flux is at least 3 sigma."""
        return self.flux_jy is not None and self.limit_jy is not None and self.flux_jy >= self.limit_jy


@dataclass(frozen=True, kw_only=True)
class LightCurve:
    """The measurements of a source in one processing, in order of time."""

    source: Annotated[SourceRecord, about("The source and its statistics")]
    measurements: Annotated[tuple[Measurement, ...], about("Measurements in order of time")]


@dataclass(frozen=True, eq=False)
class EtaVPlane:
    """Statistics of many sources as arrays of shape (sources,), for plots; NaN where a number is not defined.

    Attributes
    ----------
    source_id, name, ra_deg, dec_deg : of the sources, ICRS.
    n : counted measurements.
    weighted_mean_jy, eta, modulation_index, vs, m, last_mjd : as of `SourceVariability`.
    """

    source_id: "NDArray[np.int64]"
    name: "NDArray[np.str_]"
    ra_deg: "NDArray[np.float64]"
    dec_deg: "NDArray[np.float64]"
    n: "NDArray[np.int64]"
    weighted_mean_jy: "NDArray[np.float64]"
    eta: "NDArray[np.float64]"
    modulation_index: "NDArray[np.float64]"
    vs: "NDArray[np.float64]"
    m: "NDArray[np.float64]"
    last_mjd: "NDArray[np.float64]"

    def __len__(self) -> int:
        return len(self.source_id)


@dataclass(frozen=True, kw_only=True)
class CandidateNote:
    """A note on a candidate."""

    at: Annotated[float, about("When it was written")]
    name: Annotated[str | None, about("Who wrote it; null for the pipeline", example="ops")]
    state: Annotated[CandidateState, about("State that was set with it", example="watching")]
    text: Annotated[str, about("The note", example="rises since the 12th")]


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """A source that was selected as variable or new, and what observers decided."""

    id: Annotated[int, about("Number of the candidate", NO_UNIT, 7)]
    source_id: Annotated[int, about("Number of its source", NO_UNIT, 41)]
    source_name: Annotated[str, about("Name of its source", example="J013741+330935")]
    ra_deg: Annotated[float, about("Right ascension, ICRS", "deg", 24.42208)]
    dec_deg: Annotated[float, about("Declination, ICRS", "deg", 33.15976)]
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    kind: Annotated[CandidateKind, about("`variable` or `new`", example="variable")]
    state: Annotated[CandidateState, about("new, watching, confirmed, dismissed or withdrawn", example="new")]
    epoch: Annotated[str | None, about("Key of the epoch that selected it", example="2026-02-22_L0130_D+163")]
    mjd: Annotated[float, about("Time of that epoch, MJD, UTC", "d", 61093.14)]
    reason: Annotated[str, about("Why it was selected", example="η 9.1 (limit 4.0), V 0.21 (limit 0.1)")]
    statistics: Annotated[dict[str, Any], about("The numbers that selected it", example={"eta": 9.1})]
    created_at: Annotated[float, about("When it was selected")]
    changed_at: Annotated[float, about("When its state was last set")]
    changed_by: Annotated[str | None, about("Who set it; null for the pipeline", example="ops")]
    notes: Annotated[tuple[CandidateNote, ...], about("Notes, the oldest first")]


@dataclass(frozen=True)
class Selection:
    """A source to be recorded as a candidate.

    Attributes
    ----------
    source_id : its number.
    kind : of what.
    reason : why, with values and limits.
    statistics : the numbers that selected it, by name.
    mjd : of the epoch that selected it.
    epoch : its key.
    """

    source_id: int
    kind: CandidateKind
    reason: str
    statistics: dict[str, Any]
    mjd: float
    epoch: str | None = None
