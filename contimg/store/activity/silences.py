"""Times without notifications: silences of a rule, and maintenance windows."""

from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput, mask_secrets
from contimg.common.units import format_utc
from contimg.formats.records import NO_UNIT, about
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.activity.alerts import AlertRecord, active_alerts, worst_of
from contimg.store.activity.events import record_event
from contimg.store.database import History
from contimg.store.tables import record_of

_REPORTED = "alert.silences reported"  # key in the table of switches; when ends were last reported


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


class Silences(History):
    """Silences of rules, and maintenance windows: times without notifications. Alerts are recorded all the same."""

    _table = tables.Silence

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
            record_event(session, now, INFO, None, f"{silence.label} {span} by {by}: {reason}", rule, by)
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
            record_event(session, now, INFO, None, f"{silence.label} ended by {by}", row.rule, by)
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
        now, key = self._database.clock(), _REPORTED
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
    alerts = [record_of(AlertRecord, row) for row in session.scalars(active_alerts())]
    first = min((alert.began_at for alert in alerts), default=0.0)
    query = select(tables.Silence).where(tables.Silence.ends_at > first)
    silences = [record_of(SilenceRecord, row) for row in session.scalars(query)]
    return [alert for alert in alerts if any(silence.covers(alert.rule, alert.began_at) for silence in silences)]
