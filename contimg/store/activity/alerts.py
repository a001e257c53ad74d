"""Rules that are broken, and those that were: each breach is one row from its beginning to its end.

Whoever judges a rule says so as often as he likes, from any process: only a beginning and an end are written.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from contimg.store import tables
from contimg.store.activity.events import INFO, WARNING, record_event
from contimg.store.database import Database
from contimg.store.tables import record_of


@dataclass(frozen=True)
class AlertRecord:
    """A row of alerts; times are epoch seconds, `ended_at` is None while the rule is broken."""

    id: int
    rule: str
    level: str
    text: str
    began_at: float
    ended_at: float | None


class Alerts:
    """What an operator is alarmed by, and was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def judge(self, rule: str, trouble: str | None, *, level: str = WARNING, over: str = "") -> bool:
        """Say what is wrong by a rule, or None for nothing; True when that began or ended an alert.

        The beginning is an event with the trouble, the end one with `over`.
        """
        if self._is_known(rule, trouble):
            return False
        try:
            return self._change(rule, trouble, level, over)
        except IntegrityError:  # another process was first, at the same moment
            return False

    def on(self) -> tuple[AlertRecord, ...]:
        """Alerts that hold now, the oldest first."""
        query = select(tables.Alert).where(tables.Alert.ended_at.is_(None)).order_by(tables.Alert.id)
        with self._database.read() as session:
            return tuple(record_of(AlertRecord, row) for row in session.scalars(query))

    def listed(self, *, before: int | None = None, limit: int = 50) -> tuple[AlertRecord, ...]:
        """Alerts older than an id, the newest first."""
        query = select(tables.Alert).order_by(tables.Alert.id.desc()).limit(limit)
        if before is not None:
            query = query.where(tables.Alert.id < before)
        with self._database.read() as session:
            return tuple(record_of(AlertRecord, row) for row in session.scalars(query))

    def prune(self, before: float) -> int:
        """Forget alerts that ended before a time (epoch seconds); returns how many."""
        with self._database.write() as session:
            gone = session.execute(
                delete(tables.Alert).where(tables.Alert.ended_at < before).returning(tables.Alert.id)
            )
            return len(gone.all())

    def _change(self, rule: str, trouble: str | None, level: str, over: str) -> bool:
        now, alert = self._database.clock(), tables.Alert
        with self._database.write() as session:
            row = session.scalar(select(alert).where(alert.rule == rule, alert.ended_at.is_(None)).with_for_update())
            if trouble is not None and row is None:
                session.add(alert(rule=rule, level=level, text=trouble, began_at=now))
                record_event(session, now, level, None, trouble)
                return True
            if trouble is None and row is not None:
                row.ended_at = now
                record_event(session, now, INFO, None, over or f"{rule}: over")
                return True
        return False

    def _is_known(self, rule: str, trouble: str | None) -> bool:
        """Whether it stands so already: what is looked at every few seconds takes no lock for that."""
        query = select(tables.Alert.id).where(tables.Alert.rule == rule, tables.Alert.ended_at.is_(None))
        with self._database.read() as session:
            return (session.scalar(query) is not None) == (trouble is not None)
