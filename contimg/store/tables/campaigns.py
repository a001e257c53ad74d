"""Table of campaigns: named reprocessings of a span of time, each with its own jobs and products."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Numbered, PrintableText


class Campaign(Numbered):
    """A campaign; its jobs and products carry its name as their `processing`.

    `stage` is the first stage that its jobs run; `preset` holds the options that differ from those of the stream, by
    environment variable; `from_s` and `to_s` limit the beginnings of its tiles. `state` is what an operator chose:
    whether all jobs are done is counted.
    """

    __tablename__ = "campaigns"

    name: Mapped[str] = mapped_column(String(64), unique=True)
    stage: Mapped[str] = mapped_column(String(16))
    preset_name: Mapped[str] = mapped_column(String(64))
    preset: Mapped[dict[str, Any]]
    from_s: Mapped[float]
    to_s: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[float]
    created_by: Mapped[str] = mapped_column(PrintableText)
    changed_at: Mapped[float]
    changed_by: Mapped[str] = mapped_column(PrintableText)
