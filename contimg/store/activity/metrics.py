"""The history of metrics for charts: one row per name and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal, select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.database import Repository


def record_metrics(session: Session, at: float, values: Mapping[str, float | None], group: str | None = None) -> None:
    """Add numbers in the caller's transaction; None values are left out."""
    session.add_all(
        tables.Metric(at=at, name=name, value=float(value), group_id=group)
        for name, value in values.items()
        if value is not None
    )


@dataclass(frozen=True)
class Bucket:
    """The values of a step of time: its middle (epoch seconds), their mean and their range."""

    at: float
    mean: float
    minimum: float
    maximum: float


class Metrics(Repository):
    """The history of metrics."""

    def add(self, values: Mapping[str, float | None], *, group: str | None = None) -> None:
        """Record numbers now, for example {"disk.free_bytes": 1e12}."""
        with self._database.write() as session:
            record_metrics(session, self._database.clock(), values, group)

    def series(self, name: str, since: float, until: float, points: int = 300) -> tuple[Bucket, ...]:
        """The values of one name between two times (epoch seconds) in at most `points` steps, empty ones left out."""
        metric, width = tables.Metric, (until - since) / points
        step = select(literal(0).label("n")).cte("step", recursive=True)
        step = step.union_all(select(step.c.n + 1).where(step.c.n + 1 < points))

        # Each step is a stretch of the index; grouping by step would sort every value first, and take twice as long.
        def over_step(aggregate: Any) -> Any:
            within = (metric.at >= since + step.c.n * width, metric.at < since + (step.c.n + 1) * width)
            return select(aggregate(metric.value)).where(metric.name == name, *within).scalar_subquery()

        query = select(step.c.n, over_step(func.avg), over_step(func.min), over_step(func.max)).order_by(step.c.n)
        with self._database.read() as session:
            rows = session.execute(query).all()
        return tuple(Bucket(since + (n + 0.5) * width, *values) for n, *values in rows if values[0] is not None)

    def prune(self, before: float) -> int:
        """Delete metrics older than a time (epoch seconds); returns their number."""
        return self._delete(tables.Metric.at, before)
