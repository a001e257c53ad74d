"""Files of products with their checksums: written in the transaction of the product's commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from contimg.common.units import format_utc
from contimg.formats.records import NO_UNIT, about
from contimg.settings.retention import CALTABLES, IMAGE, MOSAIC, MS
from contimg.store import tables
from contimg.store.products import tile_products


class LocalState(StrEnum):
    """State of a file on the pipeline's machine; `retired` files were deleted by retention."""

    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"
    RETIRED = "retired"


class CopyState(StrEnum):
    """State of the copy of a file in a place."""

    PENDING = "pending"
    COPIED = "copied"
    VERIFIED = "verified"
    MISSING = "missing"
    CORRUPT = "corrupt"


@dataclass(frozen=True)
class MadeFile:
    """A file or directory that a stage made or read.

    Attributes
    ----------
    kind : of product, one of `contimg.settings.retention.PRODUCT_KINDS`.
    name : its path within a place.
    sha256 : its checksum; None for a file that was not read as a whole.
    modified_at : when such a file was last written, epoch seconds; a checksum from before that is out of date.
    """

    kind: str
    path: Path
    name: str
    size_bytes: int
    sha256: str | None = None
    modified_at: float = 0.0


@dataclass(frozen=True)
class MadeFiles:
    """The files of a stage's result, which its commit registers."""

    files: tuple[MadeFile, ...]


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of a product, or a directory such as a Measurement Set."""

    id: Annotated[int, about("Number of the file in the store", NO_UNIT, 4711)]
    path: Annotated[
        Path, about("The file on the pipeline's machine", example="/data/products/images/2026-02-22T03:04:05.fits")
    ]
    name: Annotated[str, about("Its path within a place", example="images/2026-02-22T03:04:05.fits")]
    kind: Annotated[str, about("Kind of product: ms, caltables, image, mosaic or raw", example="image")]
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    night: Annotated[str, about("UTC date of the observation", example="2026-02-22")]
    size_bytes: Annotated[int, about("Size", "bytes", 16800000)]
    sha256: Annotated[
        str | None, about("SHA-256 of the file, or of the list of a directory's files; null until it is first read",
                          example="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
    ]  # fmt: skip
    state: Annotated[LocalState, about("present, missing, corrupt, or retired by retention", example="present")]
    error: Annotated[str | None, about("What is wrong with it", example="differs from its checksum")]
    checked_at: Annotated[float | None, about("When it was last read and compared with its checksum")]
    created_at: Annotated[float, about("When its checksum was stored")]


@tile_products.write.register
def _write_files(product: MadeFiles, session: Session, job: tables.Job, now: float) -> None:
    """Register the files of a job's product; copies of a file that has changed are pending again."""
    file, copy = tables.ProductFile, tables.ArchiveCopy
    session.flush()  # the numbers of the products' rows
    night = format_utc(job.reference_s, "%Y-%m-%d")
    for kind in sorted({entry.kind for entry in product.files}):
        of_kind = [entry for entry in product.files if entry.kind == kind]
        product_id = _product_id(session, kind, job.id)
        paths = [str(entry.path.absolute()) for entry in of_kind]
        # Files that the job made before and did not make again, such as a plot.
        former = delete(file).where(file.job_id == job.id, file.kind == kind, file.path.not_in(paths))
        session.execute(former)
        rows = {row.path: row for row in session.scalars(select(file).where(file.path.in_(paths)))}
        for entry, path in zip(of_kind, paths, strict=True):
            row = rows.get(path) or file(path=path)
            if row.id is not None and _is_as_before(row, entry):
                continue
            if row.id is not None and row.sha256 != entry.sha256:
                changed = update(copy).where(copy.file_id == row.id)
                session.execute(changed.values(state=CopyState.PENDING, sha256=None, error=None))
            row.name, row.kind, row.product_id, row.job_id = entry.name, kind, product_id, job.id
            row.processing, row.night, row.size_bytes = job.processing, night, entry.size_bytes
            row.sha256, row.state, row.error = entry.sha256, LocalState.PRESENT, None
            row.checked_at, row.created_at = (now if entry.sha256 else None), now
            session.add(row)


def _is_as_before(row: tables.ProductFile, entry: MadeFile) -> bool:
    """Whether a file that was not read is the one whose checksum is known."""
    return entry.sha256 is None and row.size_bytes == entry.size_bytes and entry.modified_at <= row.created_at


def _product_id(session: Session, kind: str, job_id: int) -> int | None:
    """The number of the product of a job."""
    models: dict[str, Any] = {
        MS: tables.MeasurementSet, CALTABLES: tables.CalibrationTable, IMAGE: tables.Image, MOSAIC: tables.MosaicRow,
    }  # fmt: skip
    if (model := models.get(kind)) is None:
        return None
    number: int | None = session.scalar(select(func.min(model.id)).where(model.job_id == job_id))
    return number


def mark_retired(session: Session, paths: Sequence[Path]) -> None:
    """Record that retention deletes files; their rows stay, so that they can be restored.

    Parameters
    ----------
    session : of the transaction that deletes the product.
    paths : of the files.
    """
    file = tables.ProductFile
    texts = [str(path) for path in paths]
    session.execute(update(file).where(file.path.in_(texts)).values(state=LocalState.RETIRED, error=None))


def forget_files(session: Session, job_ids: Sequence[int]) -> None:
    """Remove the rows of the files of jobs, with those of their copies, when the products are dropped for good.

    Parameters
    ----------
    session : of the transaction that drops the products.
    job_ids : ids of the jobs.
    """
    session.execute(delete(tables.ProductFile).where(tables.ProductFile.job_id.in_(job_ids)))
