"""The store: the queue, the products, the calibration registry. It is the truth; messages only wake people up.

    store = Store.open(config.queue_db, queue_rules(config))
    lease = store.leases.claim(group, Stage.CONVERT, owner)
    ...
    store.leases.commit(lease, [converted_ms], RunFigures(...))

Every method is one short transaction. What goes in and comes out are frozen dataclasses, never rows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from contimg.settings import QueueRules, StreamingConfig, queue_rules
from contimg.store import schema
from contimg.store.activity.alerts import AlertRecord, Alerts
from contimg.store.activity.events import Events
from contimg.store.activity.metrics import Bucket, Metrics
from contimg.store.activity.pulse import Pulse, Pulses
from contimg.store.activity.status import Overview, Rates, Running, Status
from contimg.store.calibrations import CalibrationSetRecord, Outdated, Registry, TableRow
from contimg.store.database import Database, make_engine, url_of
from contimg.store.files.arrivals import Arrivals
from contimg.store.jobs.leases import Leases
from contimg.store.jobs.queue import Queue
from contimg.store.products.browse import Browse, GroupFilter, GroupOrder, ObservedTile
from contimg.store.products.products import Products, StoredImage, StoredMS
from contimg.store.products.retiring import Retirable, Retiring
from contimg.store.records import (
    Arrival,
    EventRecord,
    FileRecord,
    FileState,
    FoundFile,
    GroupRecord,
    Lease,
    Outcome,
    Refusal,
    Refused,
    RunFigures,
    Stage,
    StageRunRecord,
    State,
    Unsent,
    WaitingWork,
)

__all__ = [
    "AlertRecord",
    "Arrival",
    "Bucket",
    "CalibrationSetRecord",
    "EventRecord",
    "FileRecord",
    "FileState",
    "FoundFile",
    "GroupFilter",
    "GroupOrder",
    "GroupRecord",
    "Lease",
    "ObservedTile",
    "Outcome",
    "Outdated",
    "Pulse",
    "QueueRules",
    "Rates",
    "Refusal",
    "Refused",
    "Retirable",
    "RunFigures",
    "Running",
    "Stage",
    "StageRunRecord",
    "State",
    "Status",
    "Store",
    "StoredImage",
    "StoredMS",
    "TableRow",
    "Unsent",
    "WaitingWork",
]


@dataclass(frozen=True)
class Store:
    """The rooms of the store over one database. Safe to share between threads; each process opens its own."""

    arrivals: Arrivals
    leases: Leases
    queue: Queue
    products: Products
    registry: Registry
    events: Events
    alerts: Alerts
    metrics: Metrics
    overview: Overview
    pulses: Pulses
    browse: Browse
    retiring: Retiring
    database: Database

    @classmethod
    def open(
        cls, place: str | Path, rules: QueueRules | None = None, *, clock: Callable[[], float] = time.time
    ) -> Self:
        """Open, and make if need be, the store at a SQLite path or a PostgreSQL URL.

        `clock` gives UTC epoch seconds. Misconfigured when the place is wrong or the database of another version;
        Transient when PostgreSQL does not answer.
        """
        database = Database(make_engine(url_of(place)), rules or QueueRules(), clock)
        schema.prepare(database.engine)
        return cls(
            arrivals=Arrivals(database),
            leases=Leases(database),
            queue=Queue(database),
            products=Products(database),
            registry=Registry(database),
            events=Events(database),
            alerts=Alerts(database),
            metrics=Metrics(database),
            overview=Overview(database),
            pulses=Pulses(database),
            browse=Browse(database),
            retiring=Retiring(database),
            database=database,
        )

    @classmethod
    def of(cls, config: StreamingConfig) -> Self:
        """The store that a configuration names, with the rules in force."""
        return cls.open(config.queue_db, queue_rules(config))

    def close(self) -> None:
        """Give the connections back."""
        self.database.engine.dispose()
