"""Tables of the antennas: their history, and their outages."""

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Numbered, partial_unique

NOTABLE = "(state <> 'good' OR flagged_fraction >= 0.2)"
"""Condition of the rows that a chart of all antennas draws: few of the table, which have an index of their own."""


class AntennaHistory(Numbered):
    """One polarisation of an antenna in one tile, or in the caltable set `set_name` that was solved on it.

    `mjd` is the middle of the tile; numbers that were not measured are null.
    """

    __tablename__ = "antenna_history"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"))
    set_name: Mapped[str | None] = mapped_column(String(128))
    mjd: Mapped[float]
    antenna: Mapped[str] = mapped_column(String(32))
    polarisation: Mapped[str] = mapped_column(String(1))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    amplitude: Mapped[float | None]
    phase_deg: Mapped[float | None]
    snr: Mapped[float | None]
    flagged_fraction: Mapped[float]

    __table_args__ = (
        Index("ix_antenna_history_mjd", "mjd", "antenna"),
        Index("ix_antenna_history_antenna", "antenna", "mjd"),
        Index("ix_antenna_history_notable", "mjd", sqlite_where=text(NOTABLE), postgresql_where=text(NOTABLE)),
    )


class AntennaOutage(Numbered):
    """A time in which an antenna gave no usable data; `ended_mjd` is null while it lasts."""

    __tablename__ = "antenna_outages"

    antenna: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    began_mjd: Mapped[float]
    ended_mjd: Mapped[float | None] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_antenna_outages_began", "began_mjd"),
        partial_unique("uq_antenna_outage_on", "ended_mjd IS NULL", "antenna"),
    )
