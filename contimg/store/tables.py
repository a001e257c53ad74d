"""The tables of the database. Times are UTC epoch seconds in double columns, the same on SQLite and PostgreSQL.

Not timestamps: SQLite has none, and a number compares and subtracts alike on both.
Observation times (validity of a calibration, middle of a tile) are MJD days, UTC.
"""

from collections.abc import Callable, Mapping
from enum import EnumType
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sqlalchemy import JSON, BigInteger, Dialect, Double, ForeignKey, Index, Integer, String, Text, TypeDecorator, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from contimg.files.names import printable
from contimg.store.jobs.kinds import job_label
from contimg.tile.products import ConvertedMS, TileImage

Record = TypeVar("Record")

# A 64-bit key that SQLite still numbers by itself: there only INTEGER PRIMARY KEY is the row id.
_Key = BigInteger().with_variant(Integer(), "sqlite")
_PATH_LENGTH = 1024


class PrintableText(TypeDecorator[str]):
    """Text on one line, stored as `contimg.files.names.printable` returns it: names of files come from anywhere."""

    impl: Any = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make a value printable on its way to the database.

        Parameters
        ----------
        value : of the column; None stays None.
        dialect : of the database; any.
        """
        return None if value is None else printable(value)


class PrintablePath(PrintableText):
    """A path as `PrintableText`, cut at the length of the column."""

    impl = String(_PATH_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make a path printable and cut it; see `PrintableText`."""
        text = super().process_bind_param(value, dialect)
        return text if text is None or len(text) <= _PATH_LENGTH else f"{text[: _PATH_LENGTH - 1]}…"


def _partial_unique(name: str, condition: str, *columns: str) -> Index:
    """A unique index over the rows that meet a condition."""
    where = text(condition)
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


class Base(DeclarativeBase):
    """The metadata that Alembic and the tests compare a database against."""

    type_annotation_map = {float: Double, int: BigInteger, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Numbered(Base):
    """A table whose rows the database numbers."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(_Key, primary_key=True)


class Group(Base):
    """The subband files of one tile. Its id is its reference time, `YYYY-MM-DDTHH:MM:SS`.

    `echo` marks a group that began with a duplicate: the groups around it already had that subband.
    """

    __tablename__ = "groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reference_s: Mapped[float] = mapped_column(index=True)
    echo: Mapped[bool] = mapped_column(default=False)
    partial: Mapped[bool] = mapped_column(default=False)
    collecting_since: Mapped[float]
    created_at: Mapped[float]

    __table_args__ = (
        Index("ix_groups_created_at", "created_at"),
        Index("ix_groups_partial_reference", "partial", "reference_s"),
    )


class Job(Numbered):
    """A unit of queued work: the stages of one kind for one key (for a tile the id of its group) in one processing.

    `stage` is the next stage to run; `attempts` counts claims of that stage; `fence` grows with every claim, so that
    a worker that was suspended and resumed holds an old one and is refused. `reference_s` is the time of observation.
    """

    __tablename__ = "jobs"

    kind: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(32))
    processing: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int]
    reference_s: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_expires_at: Mapped[float | None]
    not_before: Mapped[float | None]
    enqueued_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(PrintableText)
    created_at: Mapped[float]
    updated_at: Mapped[float]
    completed_at: Mapped[float | None]

    __table_args__ = (
        Index("uq_jobs_key", "kind", "key", "processing", unique=True),
        Index("ix_jobs_reference_s", "reference_s", "key"),
        Index("ix_jobs_state_reference", "state", "reference_s", "key"),
        # The next jobs to send, and the number of those sent, without reading those that wait.
        Index("ix_jobs_state_enqueued", "state", "enqueued_at", "priority", "reference_s"),
        Index("ix_jobs_state_not_before", "state", "not_before"),
        Index("ix_jobs_completed_at", "completed_at"),
        Index("ix_jobs_updated_at", "updated_at", "key"),
        Index("ix_jobs_state_updated", "state", "updated_at"),
    )

    @property
    def label(self) -> str:
        """The job in a message."""
        return job_label(self.kind, self.key, self.processing)


class SubbandFileRow(Numbered):
    """A file of the incoming directory: in its group, late for it, or quarantined with a reason."""

    __tablename__ = "subband_files"

    path: Mapped[str] = mapped_column(PrintablePath, unique=True)
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"), index=True)
    subband: Mapped[int | None]
    time_s: Mapped[float | None]
    size: Mapped[int]
    mtime: Mapped[float]
    arrived_at: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(PrintableText)
    discarded_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_subband_files_state_arrived", "state", "arrived_at"),
        # No subband twice in a group.
        _partial_unique("uq_subband_in_group", "state <> 'quarantined'", "group_id", "subband"),
    )


class StageRun(Numbered):
    """One attempt at one stage of one job, from claim to outcome."""

    __tablename__ = "stage_runs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    processing: Mapped[str] = mapped_column(String(64))
    stage: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    fence: Mapped[int]
    owner: Mapped[str] = mapped_column(String(255))
    task_id: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(PrintableText)
    error_class: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    peak_rss_bytes: Mapped[int | None]
    bytes_read: Mapped[int | None]
    bytes_written: Mapped[int | None]

    __table_args__ = (
        # Each stage of a job is committed once; a redo first marks the old run as superseded.
        _partial_unique("uq_stage_committed", "outcome = 'committed'", "job_id", "stage"),
    )


class TileProduct(Numbered):
    """The product of a job of which it has one, and its calibration."""

    __abstract__ = True

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), index=True)
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    calibration_set: Mapped[str | None] = mapped_column(String(128))
    calibration_note: Mapped[str | None] = mapped_column(Text)


class MeasurementSet(TileProduct):
    """A Measurement Set and the calibration of its CORRECTED_DATA; its other numbers are those of ConvertedMS."""

    __tablename__ = "ms_index"

    path: Mapped[str] = mapped_column(String(1024), unique=True)
    mjd_start: Mapped[float] = mapped_column(index=True)
    mjd_end: Mapped[float]
    missing_subbands: Mapped[list[Any]]
    flagged_fraction: Mapped[float]
    bad_antennas: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    calibrated_at: Mapped[float | None]
    created_at: Mapped[float]


class CalibrationTable(Numbered):
    """One calibration table. Tables of one solve share `set_name`; `superseded_by` names the set that replaced it.

    `dec_deg` is the declination strip it is valid for (None: any); `retired` is why an operator retired it; `ms_id` is
    the Measurement Set it was solved on. A set imported by an operator has neither that nor a job.
    """

    __tablename__ = "calibrations"

    path: Mapped[str] = mapped_column(String(1024), unique=True)
    set_name: Mapped[str] = mapped_column(String(128), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"))
    ms_id: Mapped[int | None] = mapped_column(ForeignKey("ms_index.id", ondelete="SET NULL"), index=True)
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


class Image(TileProduct):
    """An image, and the Measurement Set it was made from; its other numbers are those of TileImage."""

    __tablename__ = "images"

    ms_id: Mapped[int | None] = mapped_column(ForeignKey("ms_index.id", ondelete="SET NULL"), index=True)
    fits_path: Mapped[str] = mapped_column(String(1024), unique=True)
    beam_fits_path: Mapped[str | None] = mapped_column(String(1024))
    png_path: Mapped[str | None] = mapped_column(String(1024))
    thumbnail_path: Mapped[str | None] = mapped_column(String(1024))
    rms_jy: Mapped[float]
    peak_jy: Mapped[float]
    mjd: Mapped[float] = mapped_column(index=True)
    sources: Mapped[list[Any]]
    verdict: Mapped[str | None]
    verdict_reasons: Mapped[list[Any]]
    catalogue_flux_ratio: Mapped[float | None]
    clean_stopped_by: Mapped[str | None] = mapped_column(String(32))
    missing_subbands: Mapped[list[Any]] = mapped_column(server_default="[]")
    hands: Mapped[str | None] = mapped_column(String(16))
    calibration_grade: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(index=True)

    __table_args__ = (Index("ix_images_verdict_mjd", "verdict", "mjd"),)


def _add_number_columns(model: type[Base], product: type) -> None:
    """Add a column for every number of a product that the model does not declare."""
    for name, hint in get_type_hints(product).items():
        kinds = get_args(hint) or (hint,)
        if not hasattr(model, name) and (int in kinds or float in kinds):
            column_type = Double if float in kinds else BigInteger
            setattr(model, name, mapped_column(column_type, nullable=NoneType in kinds))


_add_number_columns(MeasurementSet, ConvertedMS)
_add_number_columns(Image, TileImage)


class Event(Numbered):
    """One line of the event log. `level` is info, warning or error; `group_id` is the key of the job it concerns.

    `rule` is the rule of alerts that it belongs to, or empty.
    """

    __tablename__ = "events"

    at: Mapped[float] = mapped_column(index=True)
    level: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[str | None] = mapped_column(String(32), index=True)
    text: Mapped[str] = mapped_column(PrintableText)
    rule: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (Index("ix_events_level", "level", "id"),)


class Alert(Numbered):
    """A breach of a rule; `ended_at` is empty while it lasts."""

    __tablename__ = "alerts"

    rule: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(PrintableText)
    began_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)
    acknowledged_at: Mapped[float | None]
    acknowledged_by: Mapped[str | None] = mapped_column(String(255))
    acknowledged_note: Mapped[str | None] = mapped_column(PrintableText)

    __table_args__ = (
        # A rule has one active alert, however many processes update it.
        _partial_unique("uq_alert_on", "ended_at IS NULL", "rule"),
    )


class Silence(Numbered):
    """A time without notifications of one rule, or of all of them: a maintenance window, whose `rule` is empty."""

    __tablename__ = "silences"

    rule: Mapped[str | None] = mapped_column(String(32))
    begins_at: Mapped[float]
    ends_at: Mapped[float] = mapped_column(index=True)
    reason: Mapped[str] = mapped_column(PrintableText)
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(String(255))


class Metric(Numbered):
    """A number at a time, for charts: `stage.convert.seconds`, `disk.free_bytes`."""

    __tablename__ = "metrics"

    at: Mapped[float]
    name: Mapped[str] = mapped_column(String(64))
    value: Mapped[float]
    group_id: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (Index("ix_metrics_name_at", "name", "at", "value"),)


class Control(Base):
    """A switch that every process reads, such as `paused`, or the time of a process's last success."""

    __tablename__ = "control"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[float]
    changed_by: Mapped[str | None] = mapped_column(String(255))


def record_of(cls: type[Record], row: Any, **more: Any) -> Record:
    """Make a record from the like-named columns of a row.

    Parameters
    ----------
    cls : a dataclass; text becomes the path or the enum of a field's type, and `group` is the row's `group_id`.
    row : a row of the table that holds the record.
    more : fields that no column holds, or that replace one.
    """
    values = dict(more)
    for name, convert in _converters(cls).items():  # type: ignore[arg-type]  # a class is hashable
        column = "group_id" if name == "group" else name
        if name not in more and hasattr(row, column):
            value = getattr(row, column)
            values[name] = convert(value) if convert and value is not None else value
    return cls(**values)


@cache
def _converters(cls: type) -> Mapping[str, Callable[[Any], Any] | None]:
    """What a column's value is converted with, by the name of the dataclass's field; None leaves it as it is."""
    return {name: _converter(hint) for name, hint in get_type_hints(cls).items()}


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    if get_origin(hint) is tuple:
        return tuple
    kinds = (kind for kind in get_args(hint) or (hint,) if kind is Path or isinstance(kind, EnumType))
    return next(kinds, None)
