"""Alerts of rules that are broken.

Each breach of a rule is one alert from its beginning to its end. Any process may update a rule at any time: only a
beginning and an end are written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput, mask_secrets
from contimg.common.units import format_utc
from contimg.formats.records import NO_UNIT, about
from contimg.settings.alerts import ERROR, INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import History
from contimg.store.tables import record_of

LEVELS = (INFO, WARNING, ERROR)
ACKNOWLEDGED = "acknowledged"
URGENCIES = (ERROR, WARNING, INFO, ACKNOWLEDGED)
"""Urgency of an alert, the most urgent first: its level, until somebody attends to it."""
_LAST_VALUE = "alert."  # key of a rule's last value in the table of switches


@dataclass(frozen=True)
class AlertRecord:
    """A row of alerts; times are epoch seconds, `ended_at` is None while the rule is broken.

    Attributes
    ----------
    acknowledged_at, acknowledged_by, acknowledged_note : when and by whom it was acknowledged, with a note; None
        before.
    silenced_until : end of the silence of its rule; None without one, or when the alert has ended.
    """

    id: Annotated[int, about("Number of the alert, which grows", NO_UNIT, 17)]
    rule: Annotated[str, about("Name of the rule", example="stall")]
    level: Annotated[str, about("error or warning", example="error")]
    text: Annotated[str, about("How the rule is broken", example="groups wait and none has advanced for 900 s")]
    began_at: Annotated[float, about("When it began")]
    ended_at: Annotated[float | None, about("When it ended; null while the rule is broken")]
    acknowledged_at: Annotated[float | None, about("When it was acknowledged; null before")] = None
    acknowledged_by: Annotated[str | None, about("Who acknowledged it; null before", example="ana")] = None
    acknowledged_note: Annotated[str | None, about("Note of whoever acknowledged it", example="array rebuilds")] = None
    silenced_until: Annotated[float | None, about("End of the silence of its rule; null without one")] = None

    @property
    def urgency(self) -> str:
        """One of `URGENCIES`."""
        return self.level if self.acknowledged_at is None else ACKNOWLEDGED


class Alerts(History):
    """Active and past alerts."""

    _table = tables.Alert

    def update(self, rule: str, problem: str | None, *, level: str = WARNING, end_text: str = "") -> bool:
        """Begin the alert of a rule, or end it; nothing is written when it is already so.

        The beginning is recorded as an event with the problem, the end as one with `end_text`.

        Parameters
        ----------
        rule : name of the rule.
        problem : how the rule is broken now; None when it is met.
        level : level of the alert and of the event at its beginning.
        end_text : text of the event at the end; without it `RULE: over`.

        Returns
        -------
        True when an alert began or ended.
        """
        active = active_alerts().where(tables.Alert.rule == rule)
        if (self._find(AlertRecord, active) is not None) == (problem is not None):
            return False  # as nearly always, and without a lock
        now = self._database.clock()
        try:
            with self._database.write() as session:
                row = session.scalar(active.with_for_update())
                if problem is not None and row is None:
                    session.add(tables.Alert(rule=rule, level=level, text=mask_secrets(problem), began_at=now))
                    record_event(session, now, level, None, problem, rule)
                elif problem is None and row is not None:
                    row.ended_at = now
                    record_event(session, now, INFO, None, end_text or f"{rule}: over", rule)
                else:
                    return False
        except IntegrityError:  # another process was first, at the same moment
            return False
        return True

    def report_change(self, rule: str, value: str, text: str, *, level: str = INFO) -> bool:
        """Record an event when the value of a rule has changed since the last call, by whichever process.

        Parameters
        ----------
        rule : name of the rule.
        value : the present value.
        text : text of the event.
        level : level of the event.

        Returns
        -------
        True when an event was recorded; the first value of a rule is recorded without one.
        """
        if self.last_value(rule) == value:
            return False
        now, key = self._database.clock(), f"{_LAST_VALUE}{rule}"
        with self._database.write() as session:
            row = session.get(tables.Control, key, with_for_update=True)
            earlier = None if row is None else row.value
            session.merge(tables.Control(key=key, value=value, changed_at=now))
            if earlier in (None, value):
                return False
            record_event(session, now, level, None, text, rule)
            return True

    def last_value(self, rule: str) -> str | None:
        """Return the value of a rule at the last call of `report_change`, or None.

        Parameters
        ----------
        rule : name of the rule.
        """
        with self._database.read() as session:
            row = session.get(tables.Control, f"{_LAST_VALUE}{rule}")
            return None if row is None else row.value

    def acknowledge(self, alert_id: int, by: str, note: str = "") -> AlertRecord:
        """Record that an operator attends to an active alert; it stays active until its rule is met.

        Parameters
        ----------
        alert_id : id of the alert.
        by : who acknowledges it.
        note : what is known or done, for others.

        Returns
        -------
        AlertRecord
            The alert as it is then.

        Raises
        ------
        BadInput : there is no such alert, it has ended, or it is acknowledged already.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = session.get(tables.Alert, alert_id, with_for_update=True)
            if row is None:
                raise BadInput(f"alert {alert_id}: not in the store; `contimg alerts list` lists those that are")
            if row.ended_at is not None:
                raise BadInput(f"alert {alert_id} ({row.rule}): ended at {format_utc(row.ended_at)}")
            if row.acknowledged_at is not None:
                raise BadInput(f"alert {alert_id} ({row.rule}): acknowledged by {row.acknowledged_by} already")
            row.acknowledged_at, row.acknowledged_by, row.acknowledged_note = now, by, mask_secrets(note) or None
            text = f"alert {row.rule} acknowledged by {by}" + (f": {note}" if note else "")
            record_event(session, now, INFO, None, text, row.rule, by)
            return record_of(AlertRecord, row)

    def find(self, alert_id: int) -> AlertRecord | None:
        """Return an alert by its id, or None.

        Parameters
        ----------
        alert_id : id of the alert.
        """
        return next(iter(self._read(select(tables.Alert).where(tables.Alert.id == alert_id))), None)

    def active(self) -> tuple[AlertRecord, ...]:
        """Alerts of rules that are broken now, the oldest first."""
        return self._read(active_alerts().order_by(tables.Alert.id))

    def last(self, limit: int = 50, *, before: int | None = None) -> tuple[AlertRecord, ...]:
        """Return the newest alerts, active and past, newest first.

        Parameters
        ----------
        limit : largest number of alerts.
        before : only alerts older than this id; the id of a page's last alert gives the next page.
        """
        query = select(tables.Alert).order_by(tables.Alert.id.desc()).limit(limit)
        return self._read(query if before is None else query.where(tables.Alert.id < before))

    def between(self, since_s: float, until_s: float, limit: int = 500) -> tuple[AlertRecord, ...]:
        """Return the alerts that were active within a span, newest first.

        Parameters
        ----------
        since_s, until_s : the span, epoch seconds.
        limit : largest number of alerts.
        """
        alert = tables.Alert
        within = alert.began_at < until_s, (alert.ended_at.is_(None) | (alert.ended_at >= since_s))
        return self._read(select(alert).where(*within).order_by(alert.id.desc()).limit(limit))

    def _read(self, query: Select[tables.Alert]) -> tuple[AlertRecord, ...]:
        """The alerts of a query, each active one with the end of its rule's silence."""
        now = self._database.clock()
        with self._database.read() as session:
            rows = session.scalars(query).all()
            is_any_active = any(row.ended_at is None for row in rows)
            silences = _silences_at(session, now) if is_any_active else ()
            return tuple(
                record_of(AlertRecord, row, silenced_until=_silenced_until(row, silences)) for row in rows
            )  # fmt: skip


def sort_by_urgency(alerts: Iterable[AlertRecord]) -> tuple[AlertRecord, ...]:
    """Sort alerts by `URGENCIES`; equally urgent ones by level, then by their beginning, the oldest first.

    Parameters
    ----------
    alerts : active alerts.
    """
    return tuple(sorted(alerts, key=_urgency_key))


def worst_of(alerts: Iterable[AlertRecord]) -> AlertRecord | None:
    """Return the first alert in the order of `sort_by_urgency`, or None.

    Parameters
    ----------
    alerts : active alerts.
    """
    return min(alerts, key=_urgency_key, default=None)


def _urgency_key(alert: AlertRecord) -> tuple[int, int, float, int]:
    return URGENCIES.index(alert.urgency), -LEVELS.index(alert.level), alert.began_at, alert.id


def active_alerts() -> Select[tables.Alert]:
    """Select the alerts of rules that are broken now."""
    return select(tables.Alert).where(tables.Alert.ended_at.is_(None))


def _silences_at(session: Session, now: float) -> Sequence[tables.Silence]:
    silence = tables.Silence
    return session.scalars(select(silence).where(silence.begins_at <= now, silence.ends_at > now)).all()


def _silenced_until(alert: tables.Alert, silences: Sequence[tables.Silence]) -> float | None:
    if alert.ended_at is not None:
        return None
    return max((silence.ends_at for silence in silences if silence.rule in (None, alert.rule)), default=None)
