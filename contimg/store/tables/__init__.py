"""The tables of the database. Times are UTC epoch seconds in double columns, the same on SQLite and PostgreSQL.

Not timestamps: SQLite has none, and a number compares and subtracts alike on both.
Observation times (validity of a calibration, middle of a tile) are MJD days, UTC.
"""

from contimg.store.tables.activity import Alert, Control, Event, Metric, MetricHour, Silence
from contimg.store.tables.antennas import AntennaHistory, AntennaOutage
from contimg.store.tables.archive import ArchiveCopy, ArchivePlaceRow, ProductFile
from contimg.store.tables.campaigns import Campaign
from contimg.store.tables.columns import Base, Numbered, PrintablePath, PrintableText, record_of
from contimg.store.tables.epochs import MosaicInput, MosaicRow
from contimg.store.tables.jobs import Group, Job, StageRun, SubbandFileRow
from contimg.store.tables.nights import NightNoteRow, NightReportRow, TileInterference
from contimg.store.tables.products import CalibrationTable, Image, MeasurementSet, TileProduct
from contimg.store.tables.publication import MosaicCell
from contimg.store.tables.sky import (
    Candidate,
    CandidateNote,
    MeasuredEpoch,
    Measurement,
    Source,
    SourceIdentifier,
    SourceStatistics,
)

__all__ = [
    "Alert", "AntennaHistory", "AntennaOutage", "ArchiveCopy", "ArchivePlaceRow", "Base", "CalibrationTable",
    "Campaign", "Candidate", "CandidateNote", "Control", "Event", "Group", "Image", "Job", "MeasuredEpoch",
    "Measurement", "MeasurementSet", "Metric", "MetricHour", "MosaicCell", "MosaicInput", "MosaicRow", "NightNoteRow",
    "NightReportRow", "Numbered", "PrintablePath", "PrintableText", "ProductFile", "Silence", "Source",
    "SourceIdentifier", "SourceStatistics", "StageRun", "SubbandFileRow", "TileInterference", "TileProduct",
    "record_of",
]  # fmt: skip
