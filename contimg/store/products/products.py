"""Measurement Sets and images: what was made, and the rows that a commit writes.

A product row stands only with the commit of the stage that made it (`Leases.commit`); this room writes them inside
that transaction and reads them for everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.store import tables as models
from contimg.store.activity.metrics import measure
from contimg.store.database import Database
from contimg.store.records import record_of


@dataclass(frozen=True)
class MeasurementSetRow:
    """A Measurement Set that convert wrote. Times are MJD days UTC, angles degrees (ICRS)."""

    path: Path
    mjd_start: float
    mjd_end: float
    ra_deg: float
    dec_deg: float
    integrations: int
    channels: int
    antennas: int
    missing_subbands: tuple[int, ...]
    flagged_fraction: float
    bytes: int


@dataclass(frozen=True)
class AppliedCalibration:
    """What calibrate did to a group's Measurement Set: the set it applied, or None and the reason in `note`."""

    calibration_set: str | None
    note: str | None = None
    flagged_fraction: float | None = None


@dataclass(frozen=True)
class ImageRow:
    """A quick-look image. Fluxes Jy/beam, sizes arcseconds, angles degrees, `mjd` mid-tile UTC days.

    `sources`: the brightest, each a mapping of plain numbers and strings. `calibration_set` None: uncalibrated, and
    `calibration_note` says why. `verdict`: good, suspect or bad.
    """

    fits_path: Path
    beam_fits_path: Path | None
    png_path: Path | None
    thumbnail_path: Path | None
    rms_jy: float
    peak_jy: float
    dynamic_range: float
    beam_major_arcsec: float
    beam_minor_arcsec: float
    beam_angle_deg: float
    ra_deg: float
    dec_deg: float
    mjd: float
    freq_hz: float
    pixels: int
    cell_arcsec: float
    calibration_set: str | None
    calibration_note: str | None = None
    sources: tuple[Mapping[str, Any], ...] = ()
    verdict: str | None = None
    verdict_reasons: tuple[str, ...] = ()
    expected_rms_jy: float | None = None
    minimum_jy: float | None = None
    bowl_jy: float | None = None
    unflagged_fraction: float | None = None
    catalogue_matches: int | None = None
    catalogue_offset_arcsec: float | None = None
    catalogue_flux_ratio: float | None = None


@dataclass(frozen=True)
class MeasurementSetRecord:
    """A row of ms_index; `calibrated_at` and `created_at` are epoch seconds."""

    group: str
    path: Path
    mjd_start: float
    mjd_end: float
    ra_deg: float
    dec_deg: float
    integrations: int
    channels: int
    antennas: int
    missing_subbands: tuple[int, ...]
    flagged_fraction: float
    bytes: int
    calibrated_at: float | None
    calibration_set: str | None
    calibration_note: str | None
    created_at: float


@dataclass(frozen=True)
class ImageRecord:
    """A row of images; units as in ImageRow, `created_at` epoch seconds."""

    id: int
    group: str
    fits_path: Path
    beam_fits_path: Path | None
    png_path: Path | None
    thumbnail_path: Path | None
    rms_jy: float
    peak_jy: float
    dynamic_range: float
    beam_major_arcsec: float
    beam_minor_arcsec: float
    beam_angle_deg: float
    ra_deg: float
    dec_deg: float
    mjd: float
    freq_hz: float
    pixels: int
    cell_arcsec: float
    calibration_set: str | None
    calibration_note: str | None
    sources: tuple[Mapping[str, Any], ...]
    verdict: str | None
    verdict_reasons: tuple[str, ...]
    expected_rms_jy: float | None
    minimum_jy: float | None
    bowl_jy: float | None
    unflagged_fraction: float | None
    catalogue_matches: int | None
    catalogue_offset_arcsec: float | None
    catalogue_flux_ratio: float | None
    created_at: float


class Products:
    """What has been made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def measurement_set(self, group: str) -> MeasurementSetRecord | None:
        """The Measurement Set of a group, or None."""
        query = select(models.MeasurementSet).where(models.MeasurementSet.group_id == group)
        with self._database.read() as session:
            row = session.scalar(query)
            return _measurement_set_record(row) if row else None

    def measurement_sets(self, limit: int = 20) -> tuple[MeasurementSetRecord, ...]:
        """The latest by observation time, newest first."""
        query = select(models.MeasurementSet).order_by(models.MeasurementSet.mjd_start.desc()).limit(limit)
        with self._database.read() as session:
            return tuple(_measurement_set_record(row) for row in session.scalars(query))

    def image(self, image_id: int) -> ImageRecord | None:
        """One image by its id, or None."""
        with self._database.read() as session:
            row = session.get(models.Image, image_id)
            return image_record(row) if row else None

    def image_of(self, group: str) -> ImageRecord | None:
        """The image of a group, or None."""
        with self._database.read() as session:
            row = session.scalar(select(models.Image).where(models.Image.group_id == group))
            return image_record(row) if row else None

    def images(self, limit: int = 20, *, before_mjd: float | None = None) -> tuple[ImageRecord, ...]:
        """The latest by observation time, newest first; `before_mjd` pages on."""
        query = select(models.Image).order_by(models.Image.mjd.desc()).limit(limit)
        if before_mjd is not None:
            query = query.where(models.Image.mjd < before_mjd)
        with self._database.read() as session:
            return tuple(image_record(row) for row in session.scalars(query))


@singledispatch
def write(product: Any, session: Session, group: str, now: float) -> None:
    """Write one product of a group's stage inside a commit; a row class registers how."""
    raise TypeError(f"no product row: {type(product).__name__}")


@write.register
def _write_measurement_set(product: MeasurementSetRow, session: Session, group: str, now: float) -> None:
    row = session.scalar(select(models.MeasurementSet).where(models.MeasurementSet.group_id == group))
    row = row or models.MeasurementSet(group_id=group)
    _fill(row, product)
    row.missing_subbands = list(product.missing_subbands)
    row.calibrated_at = row.calibration_set = row.calibration_note = None
    row.created_at = now
    session.add(row)


@write.register
def _write_applied(product: AppliedCalibration, session: Session, group: str, now: float) -> None:
    row = session.scalars(select(models.MeasurementSet).where(models.MeasurementSet.group_id == group)).one()
    row.calibrated_at, row.calibration_set, row.calibration_note = now, product.calibration_set, product.note
    if product.flagged_fraction is not None:
        row.flagged_fraction = product.flagged_fraction


@write.register
def _write_image(product: ImageRow, session: Session, group: str, now: float) -> None:
    row = session.scalar(select(models.Image).where(models.Image.group_id == group)) or models.Image(group_id=group)
    _fill(row, product)
    row.sources = [dict(source) for source in product.sources]
    row.verdict_reasons = list(product.verdict_reasons)
    row.created_at = now
    measure(session, now, {"image.rms_jy": product.rms_jy}, group)
    session.add(row)


def _fill(row: Any, product: Any) -> None:
    for name, value in vars(product).items():
        setattr(row, name, str(value) if isinstance(value, Path) else value)


def _measurement_set_record(row: models.MeasurementSet) -> MeasurementSetRecord:
    return record_of(
        MeasurementSetRecord, row, path=Path(row.path), missing_subbands=tuple(int(one) for one in row.missing_subbands)
    )


def image_record(row: models.Image) -> ImageRecord:
    """The record of an image's row."""
    names: Sequence[str] = ("fits_path", "beam_fits_path", "png_path", "thumbnail_path")
    paths = {name: Path(getattr(row, name)) if getattr(row, name) else None for name in names}
    return record_of(ImageRecord, row, **paths, sources=tuple(row.sources), verdict_reasons=tuple(row.verdict_reasons))
