"""The event log: what an operator sees, one line each, in the order in which it happened."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.database import Repository

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


class Events(Repository):
    """The event log."""

    def add(self, text: str, *, level: str = INFO, group: str | None = None) -> None:
        """Record one event now."""
        with self._database.write() as session:
            record_event(session, self._database.clock(), level, group, text)

    def after(self, event_id: int, limit: int = 500) -> tuple[EventRecord, ...]:
        """Events newer than an id, oldest first; `after(0)` from the beginning."""
        event = tables.Event
        return self._fetch(EventRecord, select(event).where(event.id > event_id).order_by(event.id).limit(limit))

    def last(
        self, limit: int = 50, *, group: str | None = None, level: str | None = None, before: int | None = None
    ) -> tuple[EventRecord, ...]:
        """The newest events, newest first; only those of a group, of a level, or older than the id `before`."""
        event = tables.Event
        query = select(event).order_by(event.id.desc()).limit(limit)
        if group is not None:
            query = query.where(event.group_id == group)
        if level is not None:
            query = query.where(event.level == level)
        if before is not None:
            query = query.where(event.id < before)
        return self._fetch(EventRecord, query)

    def prune(self, before: float) -> int:
        """Delete events older than a time (epoch seconds); returns their number."""
        return self._delete(tables.Event.at, before)
