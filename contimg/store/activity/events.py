"""What an operator sees happening: one line each, in the order it happened."""

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from contimg.store import tables as models
from contimg.store.database import Database
from contimg.store.records import EventRecord, record_of

INFO, WARNING, ERROR = "info", "warning", "error"


def note(session: Session, at: float, level: str, group: str | None, text: str) -> None:
    """Add an event within a transaction that is under way, so that it stands only if the change stands."""
    session.add(models.Event(at=at, level=level, group_id=group, text=text))


class Events:
    """The event log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, text: str, *, level: str = INFO, group: str | None = None) -> None:
        """Record one event now."""
        with self._database.write() as session:
            note(session, self._database.clock(), level, group, text)

    def after(self, event_id: int, limit: int = 500) -> tuple[EventRecord, ...]:
        """Events newer than an id, oldest first; `after(0)` from the beginning."""
        query = select(models.Event).where(models.Event.id > event_id).order_by(models.Event.id).limit(limit)
        return self._fetch(query)

    def last(self, limit: int = 50, *, group: str | None = None, level: str | None = None) -> tuple[EventRecord, ...]:
        """The newest events, newest first, of one group or one level if asked."""
        query = select(models.Event).order_by(models.Event.id.desc()).limit(limit)
        if group is not None:
            query = query.where(models.Event.group_id == group)
        if level is not None:
            query = query.where(models.Event.level == level)
        return self._fetch(query)

    def prune(self, before: float) -> int:
        """Forget events older than a time (epoch seconds); returns how many."""
        with self._database.write() as session:
            gone = session.execute(delete(models.Event).where(models.Event.at < before).returning(models.Event.id))
            return len(gone.all())

    def _fetch(self, query: Select[models.Event]) -> tuple[EventRecord, ...]:
        with self._database.read() as session:
            return tuple(record_of(EventRecord, row) for row in session.scalars(query))
