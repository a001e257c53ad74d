"""The store: the queue of jobs, files, products, calibrations and activity, in SQLite or PostgreSQL.

    store = Store.open(config.queue_db, queue_rules(config))
    lease = store.leases.claim(job_id, Stage.CONVERT, owner)
    ...
    store.leases.commit(lease, [converted_ms], RunFigures(...))

Every method is one short transaction. Arguments and results are frozen dataclasses, never rows.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from contimg.settings import QueueRules, StreamingConfig, queue_rules
from contimg.store.activity.activity import Activity, Beat, DiskPause, StreamActivity
from contimg.store.activity.alerts import AlertRecord, Alerts, sort_by_urgency, worst_of
from contimg.store.activity.attention import Attention, AttentionItem
from contimg.store.activity.events import Bucket, EventRecord, Events, Metrics
from contimg.store.activity.pruning import PrunedRecords, Pruning
from contimg.store.activity.science import Science
from contimg.store.activity.silences import SilenceRecord, Silences
from contimg.store.activity.status import Overview, Rates, Running, Status
from contimg.store.database import Database, ServerClock, prepare
from contimg.store.engine import make_engine, url_of
from contimg.store.epochs.collecting import EpochList, EpochRecord, Epochs
from contimg.store.epochs.mosaics import EpochMosaic, EpochTile, MosaicList, Mosaics, StoredMosaic
from contimg.store.files.arrivals import Files
from contimg.store.files.groups import Arrival, FileRecord, FileState, GroupFilter, GroupOrder, GroupRecord
from contimg.store.jobs.kinds import ARCHIVE, EPOCH, KINDS, LIVE, QUEUES, TILE, JobKind, Stage, State
from contimg.store.jobs.leases import Leases
from contimg.store.jobs.queue import Jobs
from contimg.store.jobs.records import JobRecord, Lease, Outcome, Refusal, Refused, RunFigures, StageRunRecord
from contimg.store.products.antennas import AntennaHistory, AntennaList, Antennas, AntennaSummary, Outage
from contimg.store.products.calibrations import Registry
from contimg.store.products.caltable_records import CalibrationList, Caltable, OutdatedTile, StoredCaltableSet
from contimg.store.products.filters import ImageFilter
from contimg.store.products.records import ImageList, ObservedTile, StoredImage, StoredMS
from contimg.store.products.retention import Retention, Retirable
from contimg.store.products.tile_products import Products
from contimg.store.sky.records import (
    CandidateKind,
    CandidateState,
    EpochMeasurements,
    NewSources,
    Selection,
    SourceKind,
)
from contimg.store.sky.sky import Sky
from contimg.store.survey.archive.copies import Archive
from contimg.store.survey.archive.overview import ArchiveOverview
from contimg.store.survey.campaigns.campaigns import CampaignList, CampaignRecord, Campaigns, NewCampaign
from contimg.store.survey.campaigns.comparison import CampaignComparison, Comparisons
from contimg.store.survey.campaigns.estimates import CampaignEstimate, Estimates
from contimg.store.survey.campaigns.promotion import Promotion
from contimg.store.survey.nights.nights import Nights
from contimg.store.survey.sizes import Sizes, StoreSizes

__all__ = [
    "ARCHIVE", "EPOCH", "KINDS", "LIVE", "QUEUES", "TILE", "AlertRecord", "AntennaHistory", "AntennaList",
    "AntennaSummary", "Arrival", "AttentionItem", "Beat", "Bucket", "CalibrationList", "Caltable", "CampaignComparison",
    "CampaignEstimate", "CampaignList", "CampaignRecord", "CandidateKind", "CandidateState", "DiskPause", "EpochList",
    "EpochMeasurements", "EpochMosaic", "EpochRecord", "EpochTile", "EventRecord", "FileRecord", "FileState",
    "GroupFilter", "GroupOrder", "GroupRecord", "ImageFilter", "ImageList", "JobKind", "JobRecord", "Lease",
    "MosaicList", "NewCampaign", "NewSources", "ObservedTile", "Outage", "Outcome", "OutdatedTile", "PrunedRecords",
    "QueueRules", "Rates", "Refusal", "Refused", "Retirable", "RunFigures", "Running", "Selection", "SilenceRecord",
    "SourceKind", "Stage", "StageRunRecord", "State", "Status", "Store", "StoreSizes", "StoredCaltableSet",
    "StoredImage", "StoredMS", "StoredMosaic", "StreamActivity", "sort_by_urgency", "worst_of",
]  # fmt: skip


class Store:
    """The store by subject, over one database. Threads may share it; each process opens its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.files = Files(database)
        self.jobs = Jobs(database)
        self.leases = Leases(database)
        self.products = Products(database)
        self.epochs = Epochs(database)
        self.mosaics = Mosaics(database)
        self.sky = Sky(database)
        self.campaigns = Campaigns(database)
        self.estimates = Estimates(database)
        self.comparisons = Comparisons(database)
        self.promotion = Promotion(database)
        self.retention = Retention(database)
        self.registry = Registry(database)
        self.antennas = Antennas(database)
        self.events = Events(database)
        self.alerts = Alerts(database)
        self.silences = Silences(database)
        self.attention = Attention(database)
        self.metrics = Metrics(database)
        self.pruning = Pruning(database)
        self.activity = Activity(database)
        self.overview = Overview(database)
        self.science = Science(database)
        self.nights = Nights(database)
        self.sizes = Sizes(database)
        self.archive = Archive(database)
        self.archive_overview = ArchiveOverview(database)

    @classmethod
    def open(
        cls, location: str | Path, rules: QueueRules | None = None, *, clock: Callable[[], float] | None = None
    ) -> Self:
        """Open the store at a SQLite path or a PostgreSQL URL, and create it in an empty database.

        Parameters
        ----------
        location : path of a SQLite file, or a URL such as `postgresql://user@host/name`.
        rules : timeouts, attempts and group sizes of the queue; None for the defaults.
        clock : gives the present time, UTC, epoch seconds; None for the database's own: the clock of the PostgreSQL
            server, which every host sees alike, or for SQLite that of this host, as all its processes are here.

        Raises
        ------
        Misconfigured : the database cannot be used, is of a newer version, or is PostgreSQL and of an older one.
        Transient : PostgreSQL does not answer.
        """
        engine = make_engine(url_of(location))
        prepare(engine)
        own_clock = ServerClock(engine) if engine.dialect.name == "postgresql" else time.time
        database = Database(engine, rules or QueueRules(), clock or own_clock)
        database.refresh_clock()
        return cls(database)

    @classmethod
    def of(cls, config: StreamingConfig) -> Self:
        """Open the store of a configuration, with its queue rules.

        Parameters
        ----------
        config : names the database, and holds the values of the queue rules.

        Raises
        ------
        Misconfigured, Transient : as for `open`.
        """
        return cls.open(config.queue_db, queue_rules(config))

    def clock_ahead_s(self) -> float | None:
        """Return by how much this host's clock is ahead of the database's, s; None for a store of this host alone."""
        self.database.refresh_clock()
        clock = self.database.clock
        return clock.ahead_s if isinstance(clock, ServerClock) else None

    def last_beat_by_host_clock(self, name: str) -> float | None:
        """Return when a success was last recorded, epoch seconds by this host's clock, for comparison with `time.time`.

        Parameters
        ----------
        name : as given to `activity.beat`.
        """
        beat = self.activity.last_beat(name)
        return None if beat is None else beat + (self.clock_ahead_s() or 0.0)

    def close(self) -> None:
        """Close the connections."""
        self.database.engine.dispose()
