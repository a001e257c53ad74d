"""Products of the stages: the rows that a commit writes, and the records that readers get.

A result of a stage (contimg.tile.products) is stored field by field in the like-named columns of its table, within the
transaction of the commit (`Leases.commit`).
"""

from dataclasses import dataclass, fields
from functools import singledispatch
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.store import tables as models
from contimg.store.activity.metrics import measure
from contimg.store.database import Database
from contimg.store.records import record_of
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


class Products:
    """Measurement Sets and images of the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def measurement_set(self, group: str) -> StoredMS | None:
        """Return the Measurement Set of a group, or None."""
        query = select(models.MeasurementSet).where(models.MeasurementSet.group_id == group)
        with self._database.read() as session:
            row = session.scalar(query)
            return record_of(StoredMS, row) if row else None

    def measurement_sets(self, limit: int = 20) -> tuple[StoredMS, ...]:
        """Return the latest by observation time, newest first."""
        query = select(models.MeasurementSet).order_by(models.MeasurementSet.mjd_start.desc()).limit(limit)
        with self._database.read() as session:
            return tuple(record_of(StoredMS, row) for row in session.scalars(query))

    def image(self, image_id: int) -> StoredImage | None:
        """Return an image by its id, or None."""
        with self._database.read() as session:
            row = session.get(models.Image, image_id)
            return record_of(StoredImage, row) if row else None

    def image_of(self, group: str) -> StoredImage | None:
        """Return the image of a group, or None."""
        with self._database.read() as session:
            row = session.scalar(select(models.Image).where(models.Image.group_id == group))
            return record_of(StoredImage, row) if row else None

    def images(self, limit: int = 20, *, before_mjd: float | None = None) -> tuple[StoredImage, ...]:
        """Return the latest by observation time, newest first; those before `before_mjd` if given."""
        query = select(models.Image).order_by(models.Image.mjd.desc()).limit(limit)
        if before_mjd is not None:
            query = query.where(models.Image.mjd < before_mjd)
        with self._database.read() as session:
            return tuple(record_of(StoredImage, row) for row in session.scalars(query))


@singledispatch
def write(product: Any, session: Session, group: str, now: float) -> None:
    """Write the result of a stage inside a commit; each type of result registers how."""
    raise TypeError(f"no table for a product of type {type(product).__name__}")


@write.register
def _write_converted(product: ConvertedMS, session: Session, group: str, now: float) -> None:
    row = session.scalar(select(models.MeasurementSet).where(models.MeasurementSet.group_id == group))
    row = row or models.MeasurementSet(group_id=group)
    fill_row(row, product)
    row.calibrated_at = row.calibration_set = row.calibration_note = None
    row.created_at = now
    session.add(row)


@write.register
def _write_calibrated(product: CalibratedMS, session: Session, group: str, now: float) -> None:
    if product.new_set:
        write(product.new_set, session, group, now)
    row = session.scalars(select(models.MeasurementSet).where(models.MeasurementSet.group_id == group)).one()
    fill_row(row, product)
    row.calibrated_at = now


@write.register
def _write_image(product: TileImage, session: Session, group: str, now: float) -> None:
    row = session.scalar(select(models.Image).where(models.Image.group_id == group)) or models.Image(group_id=group)
    fill_row(row, product)
    row.created_at = now
    measure(session, now, {"image.rms_jy": product.rms_jy}, group)
    session.add(row)


def fill_row(row: Any, product: Any) -> None:
    """Copy the fields of a product into the like-named columns of a row: paths as text, tuples as lists."""
    columns = row.__table__.columns.keys()
    for name in (spec.name for spec in fields(product) if spec.name in columns):
        value = getattr(product, name)
        if isinstance(value, Path):
            value = str(value)
        setattr(row, name, list(value) if isinstance(value, tuple) else value)
