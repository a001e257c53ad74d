"""Tables of the products of epochs: mosaics and the tile images that they were made from."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Numbered


class MosaicRow(Numbered):
    """The mosaic of an epoch's job. `record` holds the whole of `contimg.epoch.products.Mosaic`.

    `strip` is the apparent declination in tenths of a degree; `reference_s` the beginning of the epoch's window.
    """

    __tablename__ = "mosaics"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    processing: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[str] = mapped_column(String(32), index=True)
    strip: Mapped[int]
    reference_s: Mapped[float] = mapped_column(index=True)
    rms_jy: Mapped[float]
    verdict: Mapped[str | None] = mapped_column(String(16))
    record: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_mosaics_strip_reference", "strip", "reference_s"),
        Index("ix_mosaics_processing", "processing"),
    )


class MosaicInput(Numbered):
    """A tile image that a mosaic was made from, used or left out; its row may be retired since."""

    __tablename__ = "mosaic_inputs"

    mosaic_id: Mapped[int] = mapped_column(ForeignKey("mosaics.id", ondelete="CASCADE"), index=True)
    image_id: Mapped[int | None] = mapped_column(ForeignKey("images.id", ondelete="SET NULL"), index=True)
    group_id: Mapped[str] = mapped_column(String(32))
    image_created_at: Mapped[float]
