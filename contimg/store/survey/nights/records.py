"""Records of a night, which is one UTC day: its summary, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Annotated, Self

from contimg.formats.records import NO_UNIT, about
from contimg.instrument.time import mjd_to_unix
from contimg.store.products.interference import MeanInterference

Day = Annotated[str, about("The UTC day", example="2026-02-22")]
_Grades = Annotated[
    Mapping[str, int],
    about("Tile images by QA grade; `ungraded` counts those without one", "images",
          {"good": 251, "suspect": 24, "bad": 3, "ungraded": 0}),
]  # fmt: skip
_Ended = Annotated[float | None, about("When it ended; null while it lasts")]


@dataclass(frozen=True)
class Spread:
    """A number over the tiles of a night: median, and 10th and 90th percentile (nearest rank)."""

    tiles: Annotated[int, about("Tiles that have it", "tiles", 278)]
    median: Annotated[float, about("Median", "unit of the number", 1.31)]
    low: Annotated[float, about("10th percentile", "unit of the number", 1.12)]
    high: Annotated[float, about("90th percentile", "unit of the number", 1.78)]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self | None:
        """Return the spread of the values that are known; None without one.

        Parameters
        ----------
        values : one a tile.
        """
        known = sorted(value for value in values if value is not None)
        return cls(len(known), median(known), rank(known, 0.1), rank(known, 0.9)) if known else None


def rank(ordered: Sequence[float], fraction: float) -> float:
    """Return the percentile of ordered values by nearest rank.

    Parameters
    ----------
    ordered : at least one value, ascending.
    fraction : of the values that are not greater, above 0 and at most 1.
    """
    return ordered[ceil(fraction * len(ordered)) - 1]


@dataclass(frozen=True, kw_only=True)
class NightSummary:
    """A night in numbers; of the day that is under way as far as it has come."""

    day: Day
    expected_tiles: Annotated[
        int, about("Tiles that one each 309 s gives, from the first group of the store on and until now", "tiles", 280)
    ]
    arrived_tiles: Annotated[int, about("Groups of which a file arrived", "tiles", 279)]
    partial_tiles: Annotated[int, about("Groups processed without some subbands", "tiles", 4)]
    failed_tiles: Annotated[int, about("Groups that failed", "tiles", 1)]
    imaged_tiles: Annotated[int, about("Tile images", "images", 278)]
    grades: _Grades
    noise_ratio: Annotated[float | None, about("Median noise over thermal noise; null without an image", "ratio", 1.31)]
    flux_ratio: Annotated[
        float | None, about("Median of measured over catalogued flux; null where not compared", "ratio", 0.98)
    ]
    offset_arcsec: Annotated[
        float | None, about("Median offset from the reference catalogue; null where not compared", "arcsec", 0.9)
    ]
    mosaics: Annotated[int, about("Mosaics of epochs whose window begins in the day", "mosaics", 47)]
    good_mosaics: Annotated[int, about("Of these, graded good", "mosaics", 45)]
    quarantined_files: Annotated[int, about("Quarantined files, by the time in their names", "files", 2)]
    antennas_down: Annotated[int, about("Antennas with an outage in the day", "antennas", 3)]
    alerts: Annotated[int, about("Alerts that were active in the day", "alerts", 1)]
    note_count: Annotated[int, about("Notes of observers", "notes", 1)]
    report_written_at: Annotated[float | None, about("When its report was written; null before")]

    @property
    def grade(self) -> Annotated[str | None, about("QA grade of most of its images; null without one", example="good")]:
        """QA grade of most of its images; None without a graded one."""
        graded = {name: number for name, number in self.grades.items() if name != "ungraded" and number}
        return max(graded, key=lambda name: graded[name]) if graded else None

    @property
    def missing_tiles(self) -> Annotated[int, about("Expected tiles that did not arrive", "tiles", 1)]:
        """Expected tiles that did not arrive."""
        return max(0, self.expected_tiles - self.arrived_tiles)


@dataclass(frozen=True)
class Gap:
    """A time without tiles."""

    began_at: Annotated[float, about("Time of the tile before it, or beginning of the day")]
    ended_at: Annotated[float, about("Time of the tile after it, or end of the day, or now")]
    missing_tiles: Annotated[int, about("Tiles that one each 309 s would have given", "tiles", 11)]
    maintenance: Annotated[
        str | None, about("Reason of a maintenance window within it; null for none", example="power of the core")
    ]


@dataclass(frozen=True)
class SubbandCount:
    """A subband and the tiles that lack it."""

    subband: Annotated[int, about("Number of the subband, 0 to 15", "subband number", 3)]
    missing_tiles: Annotated[int, about("Groups without a usable file of it", "tiles", 4)]


@dataclass(frozen=True)
class QuarantinedFile:
    """A quarantined file."""

    name: Annotated[str, about("Name of the file", example="2026-02-22T03:04:05_sb03.hdf5")]
    group: Annotated[str | None, about("Id of its group; null for none", example="2026-02-22T03:04:05")]
    reason: Annotated[str | None, about("Why it is quarantined", example="truncated: 12.1 of 27.3 MB")]


@dataclass(frozen=True)
class CalibrationUse:
    """A caltable set, or none, and the images of tiles that it was applied to."""

    calibration_set: Annotated[str | None, about("Caltable set; null for uncalibrated", example="2026-02-22T01:35:20")]
    calibration_class: Annotated[str | None, about("Origin of the gains; null if not known", example="same day")]
    grade: Annotated[str | None, about("QA grade of the set; null if not known", example="good")]
    tiles: Annotated[int, about("Tile images", "images", 141)]


@dataclass(frozen=True)
class SolvedSet:
    """A caltable set that was solved on a tile of the night."""

    name: Annotated[str, about("Name of the set", example="2026-02-22T01:35:20")]
    calibrator: Annotated[str, about("Its calibrator", example="3C48")]
    grade: Annotated[str, about("QA grade", example="good")]


@dataclass(frozen=True)
class NightImage:
    """A tile image as a mark on a chart."""

    id: Annotated[int, about("Number of the image in the store", NO_UNIT, 12)]
    group: Annotated[str, about("Id of the group", example="2026-02-22T03:04:05")]
    mjd: Annotated[float, about("Middle of the tile, MJD, UTC", "d", 61093.129624)]
    grade: Annotated[str | None, about("QA grade; null before grading", example="good")]
    rms_jy: Annotated[float, about("Noise", "Jy/beam", 0.0021)]
    expected_rms_jy: Annotated[float | None, about("Thermal noise", "Jy/beam", 0.0012)]
    history_rms_jy: Annotated[
        float | None, about("Median noise of the last good images of the strip before it", "Jy/beam", 0.0019)
    ]
    flux_ratio: Annotated[float | None, about("Measured over catalogued flux", "ratio", 0.98)]
    offset_arcsec: Annotated[float | None, about("Offset from the reference catalogue", "arcsec", 0.9)]
    offset_east_arcsec: Annotated[float | None, about("The offset to the east", "arcsec", 0.7)]
    offset_north_arcsec: Annotated[float | None, about("The offset to the north", "arcsec", -0.5)]

    @property
    def observed_at(self) -> Annotated[float, about("Middle of the tile")]:
        """Middle of the tile, epoch seconds."""
        return mjd_to_unix(self.mjd)

    @property
    def noise_ratio(self) -> Annotated[float | None, about("Noise over thermal noise", "ratio", 1.75)]:
        """Noise over thermal noise; None where that is not known."""
        return self.rms_jy / self.expected_rms_jy if self.expected_rms_jy else None

    @property
    def history_ratio(self) -> Annotated[float | None, about("Noise over that of the last good images", "ratio", 1.1)]:
        """Noise over the median noise of the last good images; None where that is not known."""
        return self.rms_jy / self.history_rms_jy if self.history_rms_jy else None


@dataclass(frozen=True)
class NightEpoch:
    """An epoch whose window begins in the day."""

    id: Annotated[str, about("Key of the epoch", example="2026-02-22_L0130_D+163")]
    state: Annotated[str, about("State of its job", example="completed")]
    grade: Annotated[str | None, about("QA grade of its mosaic; null without one", example="good")]
    tiles: Annotated[int, about("Tile images in its mosaic", "images", 12)]


@dataclass(frozen=True)
class AntennaDown:
    """An outage of an antenna, as far as it is in the day."""

    antenna: Annotated[str, about("Name of the antenna", example="103")]
    state: Annotated[str, about("unsolved, crossed or dead", example="dead")]
    reason: Annotated[str, about("Why it had no usable data", example="98% flagged or zero")]
    began_at: Annotated[float, about("When the outage began")]
    ended_at: _Ended
    down_s: Annotated[float, about("Its length within the day", "s", 18540.0)]


@dataclass(frozen=True)
class NightLatency:
    """Time from the last file of a tile to its image, of tiles that were processed once; percentiles by rank."""

    tiles: Annotated[int, about("Tiles", "tiles", 271)]
    median_s: Annotated[float, about("Median", "s", 71.0)]
    p90_s: Annotated[float, about("90th percentile", "s", 96.0)]
    p95_s: Annotated[float, about("95th percentile", "s", 118.0)]
    p99_s: Annotated[float, about("99th percentile", "s", 240.0)]
    longest_s: Annotated[float, about("Longest", "s", 611.0)]


@dataclass(frozen=True)
class NightAlert:
    """An alert that was active in the day."""

    id: Annotated[int, about("Number of the alert", NO_UNIT, 17)]
    rule: Annotated[str, about("Name of the rule", example="stall")]
    level: Annotated[str, about("error or warning", example="error")]
    text: Annotated[str, about("How the rule was broken", example="groups wait and none has advanced for 900 s")]
    began_at: Annotated[float, about("When it began")]
    ended_at: _Ended


@dataclass(frozen=True)
class NightAction:
    """An event that a person caused."""

    at: Annotated[float, about("When it happened")]
    author: Annotated[str, about("Who caused it", example="ana")]
    group: Annotated[str | None, about("Id of the group or epoch; null for none", example="2026-02-22T03:04:05")]
    text: Annotated[str, about("What was done", example="paused by ana")]


@dataclass(frozen=True)
class NightNote:
    """A note of an observer on a night."""

    id: Annotated[int, about("Number of the note", NO_UNIT, 3)]
    day: Day
    at: Annotated[float, about("When it was written")]
    name: Annotated[str, about("Who wrote it", example="ana")]
    text: Annotated[str, about("The note", example="wind above 15 m/s from 04:00")]


@dataclass(frozen=True, kw_only=True)
class Night(NightSummary):
    """What became of a night, as the store has it at `at`."""

    at: Annotated[float, about("Time of this view of the store")]
    began_at: Annotated[float, about("Beginning of the day")]
    ended_at: Annotated[float, about("End of the day")]
    complete_tiles: Annotated[int, about("Groups with every subband", "tiles", 274)]
    incomplete_tiles: Annotated[int, about("Groups that lack subbands and were not processed so", "tiles", 1)]
    missing_by_subband: Annotated[tuple[SubbandCount, ...], about("Subbands that tiles lack, by number")]
    quarantined_tiles: Annotated[int, about("Groups with a quarantined file", "tiles", 2)]
    quarantined: Annotated[tuple[QuarantinedFile, ...], about("The first 100 quarantined files, by name")]
    states: Annotated[Mapping[str, int], about("Tiles by state of their job", "tiles", {"completed": 278, "failed": 1})]
    gaps: Annotated[tuple[Gap, ...], about("Times without tiles, in order")]
    calibrated_by: Annotated[tuple[CalibrationUse, ...], about("What the images were calibrated by, the most first")]
    solved_sets: Annotated[tuple[SolvedSet, ...], about("Caltable sets solved on tiles of the night, in order")]
    images: Annotated[tuple[NightImage, ...], about("Tile images, in order of observation")]
    epochs: Annotated[tuple[NightEpoch, ...], about("Epochs whose window begins in the day, in order")]
    rms_jy: Annotated[Spread | None, about("Noise of the images, Jy/beam; null without one")]
    noise_ratios: Annotated[Spread | None, about("Noise over thermal noise; null without one")]
    history_ratios: Annotated[Spread | None, about("Noise over that of the last good images; null without one")]
    flux_ratios: Annotated[Spread | None, about("Measured over catalogued flux; null without one")]
    offsets_east_arcsec: Annotated[Spread | None, about("Offsets to the east, arcsec; null without one")]
    offsets_north_arcsec: Annotated[Spread | None, about("Offsets to the north, arcsec; null without one")]
    nights_before: Annotated[tuple[NightSummary, ...], about("The 30 nights before, in order; those without tiles too")]
    outages: Annotated[tuple[AntennaDown, ...], about("Outages of antennas, the longest in the day first")]
    interference: Annotated[MeanInterference | None, about("Interference by channel; null without a calibrated tile")]
    latency: Annotated[NightLatency | None, about("Time from the last file to the image; null without an image")]
    alert_list: Annotated[tuple[NightAlert, ...], about("Alerts active in the day, in order")]
    actions: Annotated[tuple[NightAction, ...], about("What operators did, in order")]
    notes: Annotated[tuple[NightNote, ...], about("Notes of observers, in order")]
    report_path: Annotated[
        str | None, about("The report; null before", example="/data/products/nights/2026-02-22/night.html")
    ]

    @property
    def is_over(self) -> Annotated[bool, about("Whether the day has ended", example=True)]:
        """Whether the day has ended."""
        return self.at >= self.ended_at

    @property
    def waiting_tiles(self) -> Annotated[int, about("Tiles that collect, wait or are processed", "tiles", 0)]:
        """Tiles that collect files, wait, or are processed."""
        return sum(self.states.get(state, 0) for state in ("collecting", "pending", "in_progress"))
