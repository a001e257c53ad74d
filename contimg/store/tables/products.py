"""Tables of the products of tiles: Measurement Sets, calibration tables, images."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from contimg.quality.calibration import CalibrationNumbers
from contimg.store.tables.columns import Numbered, add_number_columns
from contimg.tile.products import ConvertedMS, TileImage


class TileProduct(Numbered):
    """The product of a job of which it has one, and its calibration."""

    __abstract__ = True

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), unique=True)
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), index=True)
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    calibration_set: Mapped[str | None] = mapped_column(String(128))
    calibration_note: Mapped[str | None] = mapped_column(Text)
    calibration_class: Mapped[str | None] = mapped_column(String(16))
    second_set: Mapped[str | None] = mapped_column(String(128))


class MeasurementSet(TileProduct):
    """A Measurement Set and the calibration of its CORRECTED_DATA; its other numbers are those of ConvertedMS."""

    __tablename__ = "ms_index"

    path: Mapped[str] = mapped_column(String(1024), unique=True)
    mjd_start: Mapped[float] = mapped_column(index=True)
    mjd_end: Mapped[float]
    missing_subbands: Mapped[list[Any]]
    flagged_fraction: Mapped[float]
    bad_antennas: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    calibrated_at: Mapped[float | None]
    created_at: Mapped[float]


class CalibrationTable(Numbered):
    """One calibration table. Tables of one solve share `set_name`; `superseded_by` names the set that replaced it.

    `dec_deg` is the declination strip it is valid for (None: any); `retired` is why an operator retired it; `ms_id` is
    the Measurement Set it was solved on. A set imported by an operator has neither that nor a job.
    """

    __tablename__ = "calibrations"

    path: Mapped[str] = mapped_column(String(1024), unique=True)
    set_name: Mapped[str] = mapped_column(String(128), index=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    processing: Mapped[str] = mapped_column(String(64))
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"))
    ms_id: Mapped[int | None] = mapped_column(ForeignKey("ms_index.id", ondelete="SET NULL"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    calibrator: Mapped[str] = mapped_column(String(64))
    reference_antenna: Mapped[str | None] = mapped_column(String(32))
    mjd: Mapped[float]
    valid_from_mjd: Mapped[float]
    valid_to_mjd: Mapped[float]
    gains_valid_from_mjd: Mapped[float | None]
    gains_valid_to_mjd: Mapped[float | None]
    quality: Mapped[dict[str, Any]]
    dec_deg: Mapped[float | None]
    grade: Mapped[str] = mapped_column(String(16))
    reasons: Mapped[list[Any]]
    superseded_by: Mapped[str | None] = mapped_column(String(128))
    retired: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]

    __table_args__ = (
        Index("ix_calibrations_validity", "valid_from_mjd", "valid_to_mjd"),
        Index("ix_calibrations_mjd", "mjd"),
        Index("ix_calibrations_processing", "processing", "set_name"),
    )


class Image(TileProduct):
    """An image, and the Measurement Set it was made from; its other numbers are those of TileImage."""

    __tablename__ = "images"

    ms_id: Mapped[int | None] = mapped_column(ForeignKey("ms_index.id", ondelete="SET NULL"), index=True)
    fits_path: Mapped[str] = mapped_column(String(1024), unique=True)
    beam_fits_path: Mapped[str | None] = mapped_column(String(1024))
    png_path: Mapped[str | None] = mapped_column(String(1024))
    thumbnail_path: Mapped[str | None] = mapped_column(String(1024))
    rms_jy: Mapped[float]
    peak_jy: Mapped[float]
    mjd: Mapped[float] = mapped_column(index=True)
    sources: Mapped[list[Any]]
    verdict: Mapped[str | None]
    verdict_reasons: Mapped[list[Any]]
    catalogue_name: Mapped[str | None] = mapped_column(String(128))
    catalogue_kind: Mapped[str | None] = mapped_column(String(16))
    catalogue_flux_ratio: Mapped[float | None]
    catalogue_offset_field: Mapped[list[Any]] = mapped_column(server_default="[]")
    catalogue_flux_by_snr: Mapped[list[Any]] = mapped_column(server_default="[]")
    catalogue_flux_by_radius: Mapped[list[Any]] = mapped_column(server_default="[]")
    catalogue_completeness_by_flux: Mapped[list[Any]] = mapped_column(server_default="[]")
    clean_stopped_by: Mapped[str | None] = mapped_column(String(32))
    subtracted_sources: Mapped[list[Any]] = mapped_column(server_default="[]")
    missing_subbands: Mapped[list[Any]] = mapped_column(server_default="[]")
    hands: Mapped[str | None] = mapped_column(String(16))
    calibration_grade: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[float] = mapped_column(index=True)

    __table_args__ = (
        Index("ix_images_verdict_mjd", "verdict", "mjd"),
        Index("ix_images_grades", "processing", "mjd", "verdict"),
    )


add_number_columns(MeasurementSet, ConvertedMS)
add_number_columns(MeasurementSet, CalibrationNumbers)
add_number_columns(Image, TileImage)
# Not first the processing: SQLite, which has no statistics, would take such an index for every query of live images.
_NIGHT_COLUMNS = (
    "group_id", "processing", "verdict", "rms_jy", "expected_rms_jy", "catalogue_flux_ratio", "catalogue_offset_arcsec",
)  # fmt: skip
# A year of nights is summarised from this index: the rows of the table have long lists, which would be read too.
Index("ix_images_night", *(Image.__table__.c[name] for name in _NIGHT_COLUMNS))
# The charts of years read the numbers of a million images, from this index for the same reason.
_CHART_COLUMNS = (
    "mjd", "verdict", "rms_jy", "expected_rms_jy", "catalogue_flux_ratio", "unflagged_fraction", "calibration_set",
)  # fmt: skip
Index("ix_images_charts", *(Image.__table__.c[name] for name in _CHART_COLUMNS))
