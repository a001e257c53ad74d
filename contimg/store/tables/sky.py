"""Tables of the sky: sources, their measurements and statistics, and candidates of variable or new sources."""

from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.tables.columns import Base, Numbered, PrintableText, partial_unique


class Source(Numbered):
    """A source: a position with an identity over epochs. `healpix` is its pixel of `contimg.sky.catalogue.pixels`.

    `kind` is `catalogue` (of a reference catalogue or the pipeline's own), `blind` (found in a mosaic without a
    counterpart) or `added` (by an operator). `flux_jy` is that of the catalogue, or of the first detection.
    """

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    ra_deg: Mapped[float]
    dec_deg: Mapped[float]
    position_error_deg: Mapped[float | None]
    flux_jy: Mapped[float | None]
    healpix: Mapped[int] = mapped_column(index=True)
    created_at: Mapped[float]
    created_by: Mapped[str | None] = mapped_column(PrintableText)


class SourceIdentifier(Base):
    """The id of a source in a catalogue; a source may have several."""

    __tablename__ = "source_identifiers"

    catalogue: Mapped[str] = mapped_column(String(128), primary_key=True)
    identifier: Mapped[str] = mapped_column(String(64), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), index=True)


class MeasuredEpoch(Numbered):
    """An epoch that was measured: its image, and the normalisation of its fluxes.

    The columns from `factor` to `reason` are those of `contimg.sky.variability.normalisation.Normalisation`. Without
    `is_accepted` the epoch enters no statistics. The mosaic's row may be retired since.
    """

    __tablename__ = "measured_epochs"

    epoch: Mapped[str] = mapped_column(String(32))
    processing: Mapped[str] = mapped_column(String(64))
    mosaic_id: Mapped[int | None] = mapped_column(ForeignKey("mosaics.id", ondelete="SET NULL"), index=True)
    fits_path: Mapped[str] = mapped_column(String(1024))
    mjd: Mapped[float] = mapped_column(index=True)
    freq_hz: Mapped[float | None]
    beam_major_arcsec: Mapped[float | None]
    beam_minor_arcsec: Mapped[float | None]
    beam_angle_deg: Mapped[float | None]
    error_scale: Mapped[float]
    calibration_class: Mapped[str | None] = mapped_column(String(16))
    factor: Mapped[float]
    factor_error: Mapped[float | None]
    offset_jy: Mapped[float]
    scatter: Mapped[float]
    reference_sources: Mapped[int]
    is_accepted: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    catalogue_normalisation: Mapped[dict[str, Any] | None]
    source_count: Mapped[int]
    created_at: Mapped[float]

    __table_args__ = (Index("uq_measured_epochs_epoch", "processing", "epoch", unique=True),)


class Measurement(Base):
    """The flux of a source in an epoch, before normalisation, in rows ordered by source and sidereal day.

    There are tens of millions a year, so that small integers hold what needs no more digits. `day` counts the transits
    of the source's right ascension; of the measurements of a source and day and processing one is counted.
    """

    __tablename__ = "measurements"

    source_id: Mapped[int] = mapped_column(Integer, ForeignKey("sources.id"), primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("measured_epochs.id"), primary_key=True, autoincrement=False, index=True
    )
    flux_jy: Mapped[float | None]
    flux_error_jy: Mapped[float | None]
    local_rms_jy: Mapped[float | None]
    pb_permille: Mapped[int | None] = mapped_column(SmallInteger)
    edge_distance_arcsec: Mapped[int] = mapped_column(Integer)
    centre_distance_arcsec: Mapped[int] = mapped_column(Integer)
    blend_group: Mapped[int | None] = mapped_column(Integer)
    flags: Mapped[int] = mapped_column(Integer)
    is_counted: Mapped[bool]

    __table_args__ = ({"sqlite_with_rowid": False},)


class SourceStatistics(Base):
    """Statistics of the counted measurements of a source in one processing.

    `sums` holds `FluxSums` (contimg.sky.variability.statistics) of all counted measurements but the last, as
    little-endian doubles in the order of its fields: they are summed in the order of days, so that the same
    measurements give the same bits. The other columns are of all counted measurements.
    """

    __tablename__ = "source_statistics"

    processing: Mapped[str] = mapped_column(String(64), primary_key=True)
    source_id: Mapped[int] = mapped_column(
        ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )
    n: Mapped[int]
    mean_jy: Mapped[float | None]
    weighted_mean_jy: Mapped[float | None]
    weighted_mean_error_jy: Mapped[float | None]
    eta: Mapped[float | None]
    eta_without_extreme: Mapped[float | None]
    modulation_index: Mapped[float | None]
    vs: Mapped[float | None]
    m: Mapped[float | None]
    trend_jy_per_day: Mapped[float | None]
    trend_error_jy_per_day: Mapped[float | None]
    first_mjd: Mapped[float]
    last_mjd: Mapped[float]
    last_jy: Mapped[float]
    last_error_jy: Mapped[float]
    high_jy: Mapped[float]
    high_mjd: Mapped[float]
    low_jy: Mapped[float]
    low_mjd: Mapped[float]
    last_day: Mapped[int]
    sums: Mapped[bytes] = mapped_column(LargeBinary)


class Candidate(Numbered):
    """A source that was selected as variable or new; `statistics` are the numbers that selected it."""

    __tablename__ = "candidates"

    source_id: Mapped[int] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), index=True)
    processing: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[str | None] = mapped_column(String(32))
    mjd: Mapped[float]
    reason: Mapped[str] = mapped_column(Text)
    statistics: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    changed_at: Mapped[float]
    changed_by: Mapped[str | None] = mapped_column(PrintableText)

    __table_args__ = (
        # A source is a candidate of one kind once, until it is dismissed.
        partial_unique("uq_candidate_open", "state <> 'dismissed'", "source_id", "processing", "kind"),
        Index("ix_candidates_state_mjd", "state", "mjd"),
    )


class CandidateNote(Numbered):
    """A note on a candidate, and the state that it was given with it."""

    __tablename__ = "candidate_notes"

    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id", ondelete="CASCADE"), index=True)
    at: Mapped[float]
    name: Mapped[str | None] = mapped_column(PrintableText)
    state: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
