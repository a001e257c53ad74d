"""Products of the stages: the rows that a commit writes, and the records that readers get.

A result of a stage (contimg.tile.products) is stored field by field in the like-named columns of its table, within the
transaction of the commit (`Leases.commit`).
"""

from dataclasses import dataclass, fields
from functools import singledispatch
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.activity.metrics import record_metrics
from contimg.store.database import Database
from contimg.store.files.groups import FileState, files_of
from contimg.store.jobs.kinds import LIVE
from contimg.store.jobs.rows import JobRef
from contimg.store.tables import record_of
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage


@dataclass(frozen=True, kw_only=True)
class StoredMS(ConvertedMS):
    """A Measurement Set of a group, with its calibration. `calibrated_at` and `created_at` are epoch seconds."""

    group: str
    calibrated_at: float | None
    calibration_set: str | None
    calibration_note: str | None
    created_at: float


@dataclass(frozen=True, kw_only=True)
class StoredImage(TileImage):
    """An image of a group. `created_at` is epoch seconds."""

    id: int
    group: str
    created_at: float


@dataclass(frozen=True)
class Ancestor:
    """A product or a file that a product was made from, directly or not.

    Attributes
    ----------
    kind : "Measurement Set", "caltable" or "subband file".
    processing : None for a file.
    """

    kind: str
    path: Path
    group: str | None
    processing: str | None = None


class Products:
    """Measurement Sets and images of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def measurement_set(self, job: JobRef) -> StoredMS | None:
        """Return the Measurement Set of a job, or of the live job of a group, or None."""
        with self._database.read() as session:
            row = session.scalar(_of_job(tables.MeasurementSet, job))
            return record_of(StoredMS, row) if row else None

    def measurement_sets(self, limit: int = 20) -> tuple[StoredMS, ...]:
        """Return the latest by observation time, newest first."""
        query = select(tables.MeasurementSet).order_by(tables.MeasurementSet.mjd_start.desc()).limit(limit)
        with self._database.read() as session:
            return tuple(record_of(StoredMS, row) for row in session.scalars(query))

    def image(self, image_id: int) -> StoredImage | None:
        """Return an image by its id, or None."""
        with self._database.read() as session:
            row = session.get(tables.Image, image_id)
            return record_of(StoredImage, row) if row else None

    def image_of(self, job: JobRef) -> StoredImage | None:
        """Return the image of a job, or of the live job of a group, or None."""
        with self._database.read() as session:
            row = session.scalar(_of_job(tables.Image, job))
            return record_of(StoredImage, row) if row else None

    def images(self, limit: int = 20, *, before_mjd: float | None = None) -> tuple[StoredImage, ...]:
        """Return the latest by observation time, newest first; those before `before_mjd` if given."""
        query = select(tables.Image).order_by(tables.Image.mjd.desc()).limit(limit)
        if before_mjd is not None:
            query = query.where(tables.Image.mjd < before_mjd)
        with self._database.read() as session:
            return tuple(record_of(StoredImage, row) for row in session.scalars(query))

    def ancestry(self, path: Path) -> tuple[Ancestor, ...]:
        """Return all that an image, a Measurement Set or a caltable was made from, the nearest first.

        Products that were retired since are left out; the subband files are always named.
        """
        ancestors: dict[Path, Ancestor] = {}
        image, ms, caltable = tables.Image, tables.MeasurementSet, tables.CalibrationTable
        with self._database.read() as session:
            for model, column in ((image, image.fits_path), (ms, ms.path), (caltable, caltable.path)):
                row = session.scalar(select(model).where(column == str(path)))
                if row is not None:
                    _add_inputs(session, row, ancestors)
        ancestors.pop(path, None)  # a calibrator's tile is calibrated with the set that was solved on it
        return tuple(ancestors.values())


def _add_inputs(session: Session, product: Any, ancestors: dict[Path, Ancestor]) -> None:
    """Add the inputs of a product, and theirs in turn."""
    inputs: list[tuple[str, Any]] = []
    ms_id = getattr(product, "ms_id", None)
    if ms_id is not None:
        inputs.append(("Measurement Set", session.get(tables.MeasurementSet, ms_id)))
    name = getattr(product, "calibration_set", None)
    if name is not None:
        caltables = select(tables.CalibrationTable).filter_by(set_name=name).order_by(tables.CalibrationTable.id)
        inputs += [("caltable", row) for row in session.scalars(caltables)]
    for kind, row in inputs:
        if row is not None and Path(row.path) not in ancestors:
            ancestors[Path(row.path)] = Ancestor(kind, Path(row.path), row.group_id, row.processing)
            _add_inputs(session, row, ancestors)
    if product.group_id is not None:
        for file in files_of(session, product.group_id, FileState.PRESENT):
            ancestors.setdefault(Path(file.path), Ancestor("subband file", Path(file.path), file.group_id))


Product = TypeVar("Product", tables.MeasurementSet, tables.Image)


def _of_job(model: type[Product], job: JobRef) -> Select[Product]:
    """The query of the product of a job, or of the live job of a group."""
    if isinstance(job, int):
        return select(model).where(model.job_id == job)
    return select(model).where(model.group_id == job, model.processing == LIVE)


@singledispatch
def write(product: Any, session: Session, job: tables.Job, now: float) -> None:
    """Write the result of a stage inside a commit; each type of result registers how."""
    raise TypeError(f"no table for a product of type {type(product).__name__}")


@write.register
def _write_converted(product: ConvertedMS, session: Session, job: tables.Job, now: float) -> None:
    row = session.scalar(_of_job(tables.MeasurementSet, job.id))
    row = row or tables.MeasurementSet(job_id=job.id, processing=job.processing, group_id=job.key)
    fill_row(row, product)
    row.calibrated_at = row.calibration_set = row.calibration_note = None
    row.created_at = now
    session.add(row)


@write.register
def _write_calibrated(product: CalibratedMS, session: Session, job: tables.Job, now: float) -> None:
    if product.new_set:
        write(product.new_set, session, job, now)
    row = session.scalars(_of_job(tables.MeasurementSet, job.id)).one()
    fill_row(row, product)
    row.calibrated_at = now


@write.register
def _write_image(product: TileImage, session: Session, job: tables.Job, now: float) -> None:
    row = session.scalar(_of_job(tables.Image, job.id))
    row = row or tables.Image(job_id=job.id, processing=job.processing, group_id=job.key)
    fill_row(row, product)
    row.ms_id = measurement_set_id(session, job)
    row.created_at = now
    record_metrics(session, now, {"image.rms_jy": product.rms_jy}, job.key)
    session.add(row)


def measurement_set_id(session: Session, job: tables.Job) -> int | None:
    """The id of the Measurement Set of a job, which its later products are made from."""
    return session.scalar(select(tables.MeasurementSet.id).where(tables.MeasurementSet.job_id == job.id))


def fill_row(row: Any, product: Any) -> None:
    """Copy the fields of a product into the like-named columns of a row: paths as text, tuples as lists."""
    columns = row.__table__.columns.keys()
    for name in (spec.name for spec in fields(product) if spec.name in columns):
        value = getattr(product, name)
        if isinstance(value, Path):
            value = str(value)
        setattr(row, name, list(value) if isinstance(value, tuple) else value)
