"""The event log: what an operator sees, one line each, in the order in which it happened."""

from dataclasses import dataclass

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.database import Database
from contimg.store.tables import record_of

INFO, WARNING, ERROR = "info", "warning", "error"


@dataclass(frozen=True)
class EventRecord:
    """A row of events; `at` is epoch seconds."""

    id: int
    at: float
    level: str
    group: str | None
    text: str


def record_event(session: Session, at: float, level: str, group: str | None, text: str) -> None:
    """Add an event in the caller's transaction, so that it is stored only with the change that it reports."""
    session.add(tables.Event(at=at, level=level, group_id=group, text=text))


class Events:
    """The event log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, text: str, *, level: str = INFO, group: str | None = None) -> None:
        """Record one event now."""
        with self._database.write() as session:
            record_event(session, self._database.clock(), level, group, text)

    def after(self, event_id: int, limit: int = 500) -> tuple[EventRecord, ...]:
        """Events newer than an id, oldest first; `after(0)` from the beginning."""
        query = select(tables.Event).where(tables.Event.id > event_id).order_by(tables.Event.id).limit(limit)
        return self._fetch(query)

    def last(self, limit: int = 50, *, group: str | None = None, level: str | None = None) -> tuple[EventRecord, ...]:
        """The newest events, newest first, of one group or one level if asked."""
        query = select(tables.Event).order_by(tables.Event.id.desc()).limit(limit)
        if group is not None:
            query = query.where(tables.Event.group_id == group)
        if level is not None:
            query = query.where(tables.Event.level == level)
        return self._fetch(query)

    def prune(self, before: float) -> int:
        """Forget events older than a time (epoch seconds); returns how many."""
        with self._database.write() as session:
            gone = session.execute(delete(tables.Event).where(tables.Event.at < before).returning(tables.Event.id))
            return len(gone.all())

    def _fetch(self, query: Select[tables.Event]) -> tuple[EventRecord, ...]:
        with self._database.read() as session:
            return tuple(record_of(EventRecord, row) for row in session.scalars(query))
