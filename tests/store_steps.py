"""Steps of the producer and reads of the store that tests of several packages share."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from contimg.formats.uvh5.grouping import SubbandName
from contimg.store import Arrival, FoundFile, Store
from contimg.store import tables as models


def register_file(store: Store, path: Path | str, size: int, mtime: float, name: SubbandName) -> Arrival:
    """Register one finished file, as a scan does with many."""
    return store.arrivals.register_files([FoundFile(Path(path), size, mtime, name)])[0]


def enqueue(store: Store, groups: Sequence[str]) -> None:
    """Count pending groups as sent, as the dispatcher does before it sends their messages."""
    taken = store.queue.take_unsent(1000, lambda unsent: [work for work in unsent if work.group in groups])
    assert {work.group for work in taken} == set(groups)


def metric_values(store: Store, name: str) -> list[float]:
    """All values of one metric, oldest first."""
    query = select(models.Metric.value).where(models.Metric.name == name).order_by(models.Metric.at, models.Metric.id)
    with store.database.read() as session:
        return list(session.scalars(query))
