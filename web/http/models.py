"""What the API answers: one model per shape. Times are UTC in ISO 8601, fluxes Jy/beam, angles degrees (ICRS)."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contimg.store import FileState, Outcome, Stage, State


class Answer(BaseModel):
    """The base of all: made from a record's like-named attributes. A number of epoch seconds becomes a UTC time."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class ErrorAnswer(Answer):
    """What went wrong, and what to do about it."""

    error: str
    hint: str


class ConditionAnswer(Answer):
    """The stream in one word, and why."""

    state: Literal["running", "paused", "stalled", "stopped"]
    reason: str


class ServiceAnswer(Answer):
    """The streaming service: its main process, what it uses, and the configuration in force.

    `backend` is who runs it (process, docker, systemd, agent; null where this panel cannot tell), `container` the name
    of the producer's container or unit.
    """

    running: bool
    pid: int | None
    started_at: datetime | None
    uptime_seconds: float | None
    cpu_percent: float | None
    memory_mb: float | None
    last_heartbeat: datetime | None
    config: Mapping[str, Any] | None
    error: str | None
    paused: bool
    backend: str | None
    container: str | None


class HealthAnswer(Answer):
    """Whether the stream does its work: not that a process lives, but that its newest success is young."""

    healthy: bool
    running: bool
    uptime_seconds: float | None
    cpu_percent: float | None
    memory_mb: float | None
    error: str | None


class CommandAnswer(Answer):
    """What became of a command."""

    success: bool
    message: str
    pid: int | None = None


class ReviewAnswer(Answer):
    """What setting keys would do: what is wrong with them, and what to know about them."""

    errors: Mapping[str, str]
    remarks: Mapping[str, str]


class ChangeAnswer(Answer):
    """A change of the configuration, without passwords; `undoes`: it took an earlier one back."""

    at: datetime
    by: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undoes: bool


class ChangesAnswer(Answer):
    """Changes of the configuration, the newest first."""

    changes: tuple[ChangeAnswer, ...]


class RatesAnswer(Answer):
    """How fast the stream goes, over the last hour; None where nothing has happened yet.

    `latency_s`: from a group's first file to its image; `image_after_s`: from its last file, median, and the 95th
    percentile. `real_time_factor`: seconds of sky per second of processing, the three stages in a row.
    """

    groups_per_hour: float
    real_time_factor: float | None
    latency_s: float | None
    image_after_s: float | None
    image_after_p95_s: float | None
    stage_seconds: Mapping[Stage, float]


class MetricsAnswer(RatesAnswer):
    """The rates, with what the machine gives and what waits.

    `backlog`: groups that are ready and not done; `catch_up_s`: how long until they are, None when they grow no fewer.
    """

    at: datetime
    cpu_percent: float | None
    memory_mb: float | None
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    oldest_pending_s: float | None
    backlog: int
    catch_up_s: float | None
    scan_age_s: float | None
    set_aside_count: int


class RunningAnswer(Answer):
    """A stage under way."""

    group: str
    stage: Stage
    owner: str
    attempt: int
    started_at: datetime
    expires_at: datetime


class FileAnswer(Answer):
    """A subband file as the store knows it."""

    path: Path
    group: str | None
    subband: int | None
    state: FileState
    reason: str | None
    size: int
    arrived_at: datetime


class ImageAnswer(Answer):
    """A quick-look image; its files are at `fits_url`, `png_url` and `thumbnail_url`."""

    id: int
    group: str
    observed_at: datetime
    mjd: float
    created_at: datetime
    fits_path: Path
    fits_url: str
    png_url: str | None
    thumbnail_url: str | None
    rms_jy: float
    peak_jy: float
    dynamic_range: float
    expected_rms_jy: float | None
    minimum_jy: float | None
    bowl_jy: float | None
    unflagged_fraction: float | None
    catalogue_matches: int | None
    catalogue_offset_arcsec: float | None
    catalogue_flux_ratio: float | None
    beam_major_arcsec: float
    beam_minor_arcsec: float
    beam_angle_deg: float
    ra_deg: float
    dec_deg: float
    freq_hz: float
    pixels: int
    cell_arcsec: float
    calibrated: bool
    calibration_set: str | None
    calibration_note: str | None
    verdict: Literal["good", "suspect", "bad"] | None = None
    verdict_reasons: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...]


class ImagesAnswer(Answer):
    """Images, the latest observed first; `next_before_mjd` is the `before_mjd` of the next page."""

    images: tuple[ImageAnswer, ...]
    next_before_mjd: float | None


class EventAnswer(Answer):
    """One line of what happens."""

    id: int
    at: datetime
    level: str
    group: str | None
    text: str


class StageRunAnswer(Answer):
    """One attempt at one stage."""

    stage: Stage
    attempt: int
    owner: str
    task_id: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    error: str | None
    error_class: str | None
    seconds: float | None
    peak_rss_bytes: int | None
    bytes_read: int | None
    bytes_written: int | None


class MeasurementSetAnswer(Answer):
    """A Measurement Set and the calibration that its CORRECTED_DATA carries. `mjd_…` are days, UTC."""

    path: Path
    mjd_start: float
    mjd_end: float
    ra_deg: float
    dec_deg: float
    integrations: int
    channels: int
    antennas: int
    missing_subbands: tuple[int, ...]
    flagged_fraction: float
    bytes: int
    calibrated_at: datetime | None
    calibration_set: str | None
    calibration_note: str | None
    created_at: datetime


class GroupAnswer(Answer):
    """Where one group stands."""

    id: str
    state: State
    stage: Stage
    partial: bool
    attempts: int
    subbands: tuple[int, ...]
    lease_owner: str | None
    lease_expires_at: datetime | None
    not_before: datetime | None
    error: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class GroupDetailAnswer(GroupAnswer):
    """One group with everything that is known of it."""

    files: tuple[FileAnswer, ...]
    runs: tuple[StageRunAnswer, ...]
    measurement_set: MeasurementSetAnswer | None
    image: ImageAnswer | None
    events: tuple[EventAnswer, ...]


class QueueAnswer(Answer):
    """Groups by state and by next stage, and the groups asked for, the latest observed first."""

    paused: bool
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    running: tuple[RunningAnswer, ...]
    oldest_pending_s: float | None
    groups: tuple[GroupAnswer, ...]


class TableAnswer(Answer):
    """One calibration table."""

    path: Path
    kind: str


class CalibrationSetAnswer(Answer):
    """Tables of one solve; `mjd…` are days, UTC."""

    name: str
    calibrator: str
    mjd: float
    valid_from_mjd: float
    valid_to_mjd: float
    reference_antenna: str | None
    quality: Mapping[str, Any]
    tables: tuple[TableAnswer, ...]
    group: str | None
    superseded_by: str | None
    dec_deg: float | None
    grade: str
    reasons: tuple[str, ...]
    retired: str | None
    created_at: datetime


class CalibrationsAnswer(Answer):
    """Calibration sets, the latest observed first."""

    calibrations: tuple[CalibrationSetAnswer, ...]


class FailedGroup(Answer):
    """A group that ended in an error."""

    group: str
    error: str


class StatusAnswer(Answer):
    """The stream at a overview, one consistent view of the store."""

    at: datetime
    condition: ConditionAnswer
    service: ServiceAnswer
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    running: tuple[RunningAnswer, ...]
    oldest_pending_s: float | None
    scan_age_s: float | None
    rates: RatesAnswer
    set_aside_count: int
    set_aside: tuple[FileAnswer, ...]
    failed: tuple[FailedGroup, ...]
    images: tuple[ImageAnswer, ...]
    warnings: tuple[EventAnswer, ...]
