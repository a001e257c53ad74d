"""The tables, typed. Times are UTC epoch seconds in double columns, the same on SQLite and PostgreSQL.

Why not timestamps: SQLite has none, a number compares and subtracts alike on both, and the injected clock is one.
Observation times (validity of a calibration, middle of a tile) are MJD days, UTC.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# A 64-bit key that SQLite still numbers by itself: there only INTEGER PRIMARY KEY is the row id.
_Key = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """The metadata that Alembic and the tests compare a database against."""

    type_annotation_map = {float: Double, int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Group(Base):
    """One tile on its way through the stages. Its id is its reference time, `YYYY-MM-DDTHH:MM:SS`.

    `stage` is the next stage to run; `attempts` counts claims of that stage; `fence` grows with every claim, so a
    worker that was frozen and thawed holds an old one and is refused. `echo` marks a group founded by a file whose
    subband the groups around it already had.
    """

    __tablename__ = "groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reference_s: Mapped[float] = mapped_column(index=True)
    echo: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str] = mapped_column(String(16))
    partial: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_expires_at: Mapped[float | None]
    not_before: Mapped[float | None]
    enqueued_at: Mapped[float | None]
    collecting_since: Mapped[float]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    updated_at: Mapped[float]
    completed_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_groups_state_reference", "state", "reference_s"),
        # What is sent next, and how many are: found at once however many wait.
        Index("ix_groups_state_enqueued", "state", "enqueued_at", "reference_s"),
        Index("ix_groups_state_not_before", "state", "not_before"),
        Index("ix_groups_completed_at", "completed_at"),
        Index("ix_groups_created_at", "created_at"),
        Index("ix_groups_updated_at", "updated_at"),
        Index("ix_groups_state_updated", "state", "updated_at"),
        Index("ix_groups_partial_reference", "partial", "reference_s"),
    )


class SubbandFile(Base):
    """One file seen in the incoming directory: in its group, late for it, or set aside with a reason."""

    __tablename__ = "subband_files"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"), index=True)
    subband: Mapped[int | None]
    time_s: Mapped[float | None]
    size: Mapped[int]
    mtime: Mapped[float]
    arrived_at: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_subband_files_state_arrived", "state", "arrived_at"),
        # No subband twice in a group, whatever the code above believes.
        Index(
            "uq_subband_in_group",
            "group_id",
            "subband",
            unique=True,
            sqlite_where=text("state <> 'set_aside'"),
            postgresql_where=text("state <> 'set_aside'"),
        ),
    )


class StageRun(Base):
    """One attempt at one stage of one group, from claim to outcome."""

    __tablename__ = "stage_runs"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), index=True)
    stage: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    fence: Mapped[int]
    owner: Mapped[str] = mapped_column(String(255))
    task_id: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    error_class: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    peak_rss_bytes: Mapped[int | None]
    bytes_read: Mapped[int | None]
    bytes_written: Mapped[int | None]

    __table_args__ = (
        # Each stage of a group is committed once; a redo first marks the old run as superseded.
        Index(
            "uq_stage_committed",
            "group_id",
            "stage",
            unique=True,
            sqlite_where=text("outcome = 'committed'"),
            postgresql_where=text("outcome = 'committed'"),
        ),
    )


class MeasurementSet(Base):
    """A Measurement Set that stands on disk, and which calibration its CORRECTED_DATA carries."""

    __tablename__ = "ms_index"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), unique=True)
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    mjd_start: Mapped[float] = mapped_column(index=True)
    mjd_end: Mapped[float]
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    integrations: Mapped[int]
    channels: Mapped[int]
    antennas: Mapped[int]
    missing_subbands: Mapped[list[Any]]
    flagged_fraction: Mapped[float]
    bytes: Mapped[int]
    calibrated_at: Mapped[float | None]
    calibration_set: Mapped[str | None] = mapped_column(String(128))
    calibration_note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]


class CalibrationTable(Base):
    """One calibration table. Tables of one solve share `set_name`; `superseded_by` names the set that replaced it.

    `dec_deg` is the strip it holds for (None: any); `retired` is why an operator took it out of force.
    """

    __tablename__ = "calibrations"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), unique=True)
    set_name: Mapped[str] = mapped_column(String(128), index=True)
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"))
    kind: Mapped[str] = mapped_column(String(32))
    calibrator: Mapped[str] = mapped_column(String(64))
    reference_antenna: Mapped[str | None] = mapped_column(String(32))
    mjd: Mapped[float]
    valid_from_mjd: Mapped[float]
    valid_to_mjd: Mapped[float]
    quality: Mapped[dict[str, Any]]
    dec_deg: Mapped[float | None]
    grade: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[Any]]
    superseded_by: Mapped[str | None] = mapped_column(String(128))
    retired: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]

    __table_args__ = (
        Index("ix_calibrations_validity", "valid_from_mjd", "valid_to_mjd"),
        Index("ix_calibrations_mjd", "mjd"),
    )


class Image(Base):
    """A quick-look image: its files, its numbers and where its calibration came from. Fluxes are Jy/beam."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), unique=True)
    fits_path: Mapped[str] = mapped_column(String(1024), unique=True)
    beam_fits_path: Mapped[str | None] = mapped_column(String(1024))
    png_path: Mapped[str | None] = mapped_column(String(1024))
    thumbnail_path: Mapped[str | None] = mapped_column(String(1024))
    rms_jy: Mapped[float]
    peak_jy: Mapped[float]
    dynamic_range: Mapped[float]
    beam_major_arcsec: Mapped[float]
    beam_minor_arcsec: Mapped[float]
    beam_angle_deg: Mapped[float]
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    mjd: Mapped[float] = mapped_column(index=True)
    freq_hz: Mapped[float]
    pixels: Mapped[int]
    cell_arcsec: Mapped[float]
    calibration_set: Mapped[str | None] = mapped_column(String(128))
    calibration_note: Mapped[str | None] = mapped_column(Text)
    sources: Mapped[list[Any]]
    verdict: Mapped[str | None]
    verdict_reasons: Mapped[list[Any]]
    expected_rms_jy: Mapped[float | None]
    minimum_jy: Mapped[float | None]
    bowl_jy: Mapped[float | None]
    unflagged_fraction: Mapped[float | None]
    catalogue_matches: Mapped[int | None]
    catalogue_offset_arcsec: Mapped[float | None]
    catalogue_flux_ratio: Mapped[float | None]
    created_at: Mapped[float] = mapped_column(index=True)

    __table_args__ = (Index("ix_images_verdict_mjd", "verdict", "mjd"),)


class Event(Base):
    """What an operator sees happening. `level` is info, warning or error."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    at: Mapped[float] = mapped_column(index=True)
    level: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[str | None] = mapped_column(String(32), index=True)
    text: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_events_level", "level", "id"),)


_ON = text("ended_at IS NULL")


class Alert(Base):
    """A rule that was broken for a while; `ended_at` is empty while it is."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    rule: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    began_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)

    __table_args__ = (
        # A rule is broken once at a time, however many processes judge it.
        Index(
            "uq_alert_on",
            "rule",
            unique=True,
            sqlite_where=_ON,
            postgresql_where=_ON,
        ),
    )


class Metric(Base):
    """One number at one time, for charts: `stage.convert.seconds`, `disk.free_bytes`."""

    __tablename__ = "metrics"

    id: Mapped[int] = mapped_column(_Key, primary_key=True)
    at: Mapped[float]
    name: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    group_id: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (Index("ix_metrics_name_at", "name", "at", "value"),)


class Control(Base):
    """A switch that every process reads, such as `paused`, and the heartbeat of a process' last success."""

    __tablename__ = "control"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[float]
    changed_by: Mapped[str | None] = mapped_column(String(255))
