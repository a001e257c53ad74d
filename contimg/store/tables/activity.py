"""Tables of what happens: events, alerts, silences, metrics, switches."""

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Base, Numbered, PrintableText, partial_unique


class Event(Numbered):
    """One line of the event log. `level` is info, warning or error; `group_id` is the key of the job it concerns.

    `rule` is the rule of alerts that it belongs to, or empty; `author` is who caused it, empty for the pipeline.
    """

    __tablename__ = "events"

    at: Mapped[float] = mapped_column(index=True)
    level: Mapped[str] = mapped_column(String(16))
    group_id: Mapped[str | None] = mapped_column(String(32), index=True)
    text: Mapped[str] = mapped_column(PrintableText)
    rule: Mapped[str | None] = mapped_column(String(32))
    author: Mapped[str | None] = mapped_column(PrintableText)

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
        partial_unique("uq_alert_on", "ended_at IS NULL", "rule"),
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


class MetricHour(Base):
    """The samples of a metric in an hour, in place of the samples themselves; `at` is the beginning of the hour."""

    __tablename__ = "metric_hours"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[float] = mapped_column(primary_key=True)
    samples: Mapped[int]
    mean: Mapped[float]
    minimum: Mapped[float]
    maximum: Mapped[float]

    __table_args__ = ({"sqlite_with_rowid": False},)


class Control(Base):
    """A switch that every process reads, such as `paused`, or the time of a process's last success."""

    __tablename__ = "control"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[float]
    changed_by: Mapped[str | None] = mapped_column(String(255))
