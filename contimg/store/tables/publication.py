"""The table of the sky that each mosaic covers, for searches by position."""

from sqlalchemy import ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Base


class MosaicCell(Base):
    """A HEALPix cell (nested, nside 8) that a circle around a mosaic touches; a mosaic has about ten."""

    __tablename__ = "mosaic_cells"

    cell: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    mosaic_id: Mapped[int] = mapped_column(
        ForeignKey("mosaics.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )

    __table_args__ = ({"sqlite_with_rowid": False},)
