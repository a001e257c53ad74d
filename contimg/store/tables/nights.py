"""Tables of the nights: reports that were written, notes of observers, and interference by channel."""

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Base, Numbered, PrintablePath, PrintableText


class NightReportRow(Base):
    """The report of a UTC day, as 2026-02-22, that was written by itself after the end of the day."""

    __tablename__ = "nights"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    path: Mapped[str] = mapped_column(PrintablePath)
    written_at: Mapped[float]


class NightNoteRow(Numbered):
    """A note of an observer on a UTC day."""

    __tablename__ = "night_notes"

    day: Mapped[str] = mapped_column(String(10), index=True)
    at: Mapped[float]
    name: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(PrintableText)


class TileInterference(Numbered):
    """Interference in a calibrated tile by channel; `reference_s` is the time of its group.

    `fractions` holds unsigned 16-bit integers, little-endian, one a channel from `first_freq_hz` on: the flagged
    fraction in units of 1/10000, and 65535 for a channel without data.
    """

    __tablename__ = "tile_interference"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"))
    reference_s: Mapped[float] = mapped_column(index=True)
    first_freq_hz: Mapped[float]
    channel_width_hz: Mapped[float]
    fractions: Mapped[bytes] = mapped_column(LargeBinary)
