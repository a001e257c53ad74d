"""Alerts, and the times without notifications: silences of a rule, and maintenance windows.

Each breach of a rule is one alert from its beginning to its end. Any process may update a rule at any time: only a
beginning and an end are written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg.errors import BadInput, mask_secrets
from contimg.formats.records import NO_UNIT, about
from contimg.settings.alerts import ERROR, INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import History
from contimg.store.tables import record_of
from contimg.units import format_utc

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


@dataclass(frozen=True)
class SilenceRecord:
    """A time without notifications, from `begins_at` until before `ends_at`, epoch seconds.

    Attributes
    ----------
    rule : rule of alerts that is silenced; None for all events, in a maintenance window.
    reason, created_by, created_at : why, by whom and when it was added.
    """

    id: Annotated[int, about("Number of the silence, which grows", NO_UNIT, 4)]
    rule: Annotated[str | None, about("Rule that is silenced; null for a maintenance window", example="no data")]
    begins_at: Annotated[float, about("Beginning")]
    ends_at: Annotated[float, about("End")]
    reason: Annotated[str, about("Why, for other operators", example="the correlator is upgraded")]
    created_at: Annotated[float, about("When it was added")]
    created_by: Annotated[str, about("Who added it", example="ana")]

    def covers(self, rule: str | None, at: float) -> bool:
        """Return whether an event of a rule at a time is not to be sent.

        Parameters
        ----------
        rule : rule of the event; None for an event of no rule.
        at : time of the event, epoch seconds.
        """
        return self.begins_at <= at < self.ends_at and self.rule in (None, rule)

    @property
    def label(self) -> str:
        """The silence in a message."""
        return "maintenance" if self.rule is None else f"silence of {self.rule}"


class Alerts(History):
    """Active and past alerts."""

    _table, _time_column = tables.Alert, "ended_at"

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
        active = _active().where(tables.Alert.rule == rule)
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
            record_event(session, now, INFO, None, text, row.rule)
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
        return self._read(_active().order_by(tables.Alert.id))

    def worst_active(self) -> AlertRecord | None:
        """Return the worst active alert by the order of `worst_of`, or None."""
        return worst_of(self.active())

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
            silences = _silences_at(session, now) if is_any_active else []
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


class Silences(History):
    """Silences of rules, and maintenance windows: times without notifications. Alerts are recorded all the same."""

    _table, _time_column = tables.Silence, "ends_at"

    def add(
        self, rule: str | None, *, until: float, reason: str, by: str, since: float | None = None
    ) -> SilenceRecord:  # fmt: skip
        """Add a silence of one rule, or a maintenance window; it is recorded as an event.

        Parameters
        ----------
        rule : rule of alerts; None for a maintenance window.
        until : end, epoch seconds.
        reason : why, for other operators.
        by : who adds it.
        since : beginning, epoch seconds; None for now.

        Raises
        ------
        BadInput : it ends before it begins or before now, or has no reason.
        """
        now = self._database.clock()
        begins_at = now if since is None else since
        if until <= max(now, begins_at):
            raise BadInput(f"until {format_utc(until)}: must be after {format_utc(max(now, begins_at))}")
        if not reason.strip():
            raise BadInput("reason: must not be empty; other operators read it")
        with self._database.write() as session:
            row = tables.Silence(rule=rule, begins_at=begins_at, ends_at=until, created_at=now, created_by=by)
            row.reason = mask_secrets(reason)
            session.add(row)
            session.flush()
            silence = record_of(SilenceRecord, row)
            span = f"{'' if since is None else f'from {format_utc(begins_at)} '}until {format_utc(until)}"
            record_event(session, now, INFO, None, f"{silence.label} {span} by {by}: {reason}", rule)
            return silence

    def end(self, silence_id: int, by: str) -> SilenceRecord:
        """End a silence or a maintenance window now; one in the future is withdrawn.

        Parameters
        ----------
        silence_id : id of the silence.
        by : who ends it.

        Raises
        ------
        BadInput : there is no such silence, or it has ended.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = session.get(tables.Silence, silence_id, with_for_update=True)
            if row is None or row.ends_at <= now:
                raise BadInput(
                    f"silence {silence_id}: not in force; `contimg alerts maintenance list` lists those that are"
                )
            row.begins_at, row.ends_at = min(row.begins_at, now), now
            silence = record_of(SilenceRecord, row)
            record_event(session, now, INFO, None, f"{silence.label} ended by {by}", row.rule)
            return silence

    def last(self, limit: int = 50, *, before: int | None = None) -> tuple[SilenceRecord, ...]:
        """Return the newest silences and maintenance windows, past, present and future, newest first.

        Parameters
        ----------
        limit : largest number of them.
        before : only those older than this id; the id of a page's last one gives the next page.
        """
        query = select(tables.Silence).order_by(tables.Silence.id.desc()).limit(limit)
        return self._fetch(SilenceRecord, query if before is None else query.where(tables.Silence.id < before))

    def in_force(self, since: float | None = None) -> tuple[SilenceRecord, ...]:
        """Return those that last now, the oldest first.

        Parameters
        ----------
        since : also those that have ended after this time, epoch seconds.
        """
        now, silence = self._database.clock(), tables.Silence
        query = select(silence).where(silence.begins_at <= now, silence.ends_at > (now if since is None else since))
        return self._fetch(SilenceRecord, query.order_by(silence.id))

    def current_and_planned(self) -> tuple[SilenceRecord, ...]:
        """Return those that have not ended, the one that begins first at the front."""
        silence = tables.Silence
        query = select(silence).where(silence.ends_at > self._database.clock())
        return self._fetch(SilenceRecord, query.order_by(silence.begins_at, silence.id))

    def report_ended(self) -> None:
        """Record as events which alerts are active at the end of a silence: they were not sent while it lasted.

        Each end is reported once, by whichever process calls this first after it.
        """
        now, key = self._database.clock(), f"{_LAST_VALUE}silences reported"
        silence = tables.Silence
        with self._database.read() as session:
            row = session.get(tables.Control, key)
            since = 0.0 if row is None else row.changed_at
            lasted = silence.begins_at < silence.ends_at  # else it was withdrawn before it began
            ended = select(silence).where(lasted, silence.ends_at > since, silence.ends_at <= now)
            if session.scalar(ended.limit(1)) is None:
                return
        with self._database.write() as session:
            row = session.get(tables.Control, key, with_for_update=True)
            if row is not None and row.changed_at > since:
                return
            silenced = _silenced_alerts(session)
            for record in (record_of(SilenceRecord, row) for row in session.scalars(ended.order_by(silence.id))):
                _record_end(session, now, record, [alert for alert in silenced if record.rule in (None, alert.rule)])
            session.merge(tables.Control(key=key, value="", changed_at=now))


def _record_end(session: Session, now: float, silence: SilenceRecord, alerts: list[AlertRecord]) -> None:
    """Record the end of a silence with the active alerts that began in one, at the level of the worst."""
    worst = worst_of(alerts)
    text = "; ".join(alert.text for alert in alerts) or "no alert that began in it is active"
    record_event(session, now, worst.level if worst else INFO, None, f"{silence.label} is over: {text}", silence.rule)


def _silenced_alerts(session: Session) -> list[AlertRecord]:
    """The active alerts that began in a silence; its end may have been in another silence, and not sent either."""
    alerts = [record_of(AlertRecord, row) for row in session.scalars(_active())]
    first = min((alert.began_at for alert in alerts), default=0.0)
    query = select(tables.Silence).where(tables.Silence.ends_at > first)
    silences = [record_of(SilenceRecord, row) for row in session.scalars(query)]
    return [alert for alert in alerts if any(silence.covers(alert.rule, alert.began_at) for silence in silences)]


def _active() -> Select[tables.Alert]:
    return select(tables.Alert).where(tables.Alert.ended_at.is_(None))


def _silences_at(session: Session, now: float) -> list[SilenceRecord]:
    silence = tables.Silence
    query = select(silence).where(silence.begins_at <= now, silence.ends_at > now)
    return [record_of(SilenceRecord, row) for row in session.scalars(query)]


def _silenced_until(alert: tables.Alert, silences: list[SilenceRecord]) -> float | None:
    if alert.ended_at is not None:
        return None
    return max((silence.ends_at for silence in silences if silence.rule in (None, alert.rule)), default=None)
