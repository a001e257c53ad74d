"""Alerts: each breach of a rule is one row from its beginning to its end.

Any process may update a rule at any time: only a beginning and an end are written.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from contimg.store import tables
from contimg.store.activity.events import INFO, WARNING, record_event
from contimg.store.database import Repository


@dataclass(frozen=True)
class AlertRecord:
    """A row of alerts; times are epoch seconds, `ended_at` is None while the rule is broken."""

    id: int
    rule: str
    level: str
    text: str
    began_at: float
    ended_at: float | None


class Alerts(Repository):
    """Active and past alerts."""

    def update(self, rule: str, problem: str | None, *, level: str = WARNING, end_text: str = "") -> bool:
        """Begin the alert of a rule with its problem, or end it with None; True when that changed anything.

        The beginning is recorded as an event with the problem, the end as one with `end_text`.
        """
        active = select(tables.Alert).where(tables.Alert.rule == rule, tables.Alert.ended_at.is_(None))
        if (self._find(AlertRecord, active) is not None) == (problem is not None):
            return False  # as nearly always, and without a lock
        now = self._database.clock()
        try:
            with self._database.write() as session:
                row = session.scalar(active.with_for_update())
                if problem is not None and row is None:
                    session.add(tables.Alert(rule=rule, level=level, text=problem, began_at=now))
                    record_event(session, now, level, None, problem)
                elif problem is None and row is not None:
                    row.ended_at = now
                    record_event(session, now, INFO, None, end_text or f"{rule}: over")
                else:
                    return False
        except IntegrityError:  # another process was first, at the same moment
            return False
        return True

    def active(self) -> tuple[AlertRecord, ...]:
        """Alerts of rules that are broken now, the oldest first."""
        alert = tables.Alert
        return self._fetch(AlertRecord, select(alert).where(alert.ended_at.is_(None)).order_by(alert.id))

    def last(self, limit: int = 50, *, before: int | None = None) -> tuple[AlertRecord, ...]:
        """The newest alerts, newest first; only those older than the id `before`."""
        query = select(tables.Alert).order_by(tables.Alert.id.desc()).limit(limit)
        return self._fetch(AlertRecord, query if before is None else query.where(tables.Alert.id < before))

    def prune(self, before: float) -> int:
        """Delete alerts that ended before a time (epoch seconds); returns their number."""
        return self._delete(tables.Alert.ended_at, before)
