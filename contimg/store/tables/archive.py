"""Tables of the archive: files of products with their checksums, their copies in other places, and the places."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Numbered, PrintablePath, PrintableText


class ProductFile(Numbered):
    """A file, or a directory such as a Measurement Set, of a product, or a subband file.

    `name` is its path within a place. `sha256` is None until the file is first read. `night` is the UTC date of the
    observation. `state` is that of the file on the pipeline's machine; the row stays when retention deletes the file.
    """

    __tablename__ = "product_files"

    path: Mapped[str] = mapped_column(PrintablePath, unique=True)
    name: Mapped[str] = mapped_column(PrintablePath)
    kind: Mapped[str] = mapped_column(String(16))
    product_id: Mapped[int | None]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    processing: Mapped[str] = mapped_column(String(64))
    night: Mapped[str] = mapped_column(String(10))
    size_bytes: Mapped[int]
    sha256: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(PrintableText)
    checked_at: Mapped[float | None]
    created_at: Mapped[float] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_product_files_night", "night", "kind"),
        Index("ix_product_files_state", "state", "checked_at"),
    )


class ArchiveCopy(Numbered):
    """The copy of a file in a place. `sha256` is what was last read back there; `night` is that of the file."""

    __tablename__ = "archive_copies"

    file_id: Mapped[int] = mapped_column(ForeignKey("product_files.id", ondelete="CASCADE"))
    place: Mapped[str] = mapped_column(String(20))
    night: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(PrintableText)
    copied_at: Mapped[float | None]
    verified_at: Mapped[float | None]

    __table_args__ = (
        Index("uq_archive_copies_file", "file_id", "place", unique=True),
        Index("ix_archive_copies_night", "place", "night", "state"),
        Index("ix_archive_copies_state", "place", "state", "verified_at"),
    )


class ArchivePlaceRow(Numbered):
    """A place as it was last checked: available or away, since when and why."""

    __tablename__ = "archive_places"

    name: Mapped[str] = mapped_column(String(20), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(PrintableText)
    since: Mapped[float]
    checked_at: Mapped[float]
