"""The history of numbers for charts: one row per name and time."""

from collections.abc import Mapping

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from contimg.store import models
from contimg.store.database import Database
from contimg.store.records import MetricRecord, record_of


def measure(session: Session, at: float, values: Mapping[str, float | None], group: str | None = None) -> None:
    """Add numbers within a transaction that is under way; None values are left out."""
    session.add_all(
        models.Metric(at=at, name=name, value=float(value), group_id=group)
        for name, value in values.items()
        if value is not None
    )


class Metrics:
    """The history of numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, values: Mapping[str, float | None], *, group: str | None = None) -> None:
        """Record numbers now, for example {"disk.free_bytes": 1e12}."""
        with self._database.write() as session:
            measure(session, self._database.clock(), values, group)

    def history(self, name: str, since: float = 0.0, limit: int = 10_000) -> tuple[MetricRecord, ...]:
        """The newest `limit` values of one name since a time (epoch seconds), oldest first."""
        query = (
            select(models.Metric)
            .where(models.Metric.name == name, models.Metric.at >= since)
            .order_by(models.Metric.at.desc(), models.Metric.id.desc())
            .limit(limit)
        )
        with self._database.read() as session:
            return tuple(reversed([record_of(MetricRecord, row) for row in session.scalars(query)]))

    def prune(self, before: float) -> int:
        """Forget numbers older than a time (epoch seconds); returns how many."""
        with self._database.write() as session:
            gone = session.execute(delete(models.Metric).where(models.Metric.at < before).returning(models.Metric.id))
            return len(gone.all())
