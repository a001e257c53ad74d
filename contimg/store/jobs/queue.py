"""What an operator and the reconciler do with groups: look, retry, discard, pause, find work that nobody has."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import ColumnElement, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from contimg.errors import BadInput
from contimg.store import tables as models
from contimg.store.activity.events import INFO, WARNING, note
from contimg.store.database import Database
from contimg.store.jobs.leases import PAUSED
from contimg.store.records import (
    FileState,
    GroupRecord,
    Stage,
    StageRunRecord,
    State,
    Unsent,
    WaitingWork,
    record_of,
)
from contimg.store.rows import end_lease, files_of, group_record, known_group, supersede_runs


class Queue:
    """Groups as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def group(self, group: str) -> GroupRecord | None:
        """One group, or None."""
        with self._database.read() as session:
            row = session.get(models.Group, group)
            return group_records(session, [row])[0] if row else None

    def groups(self, state: State | None = None, limit: int = 50) -> tuple[GroupRecord, ...]:
        """Groups, the latest observed first; of one state if asked."""
        query = select(models.Group).order_by(models.Group.reference_s.desc()).limit(limit)
        if state is not None:
            query = query.where(models.Group.state == state)
        with self._database.read() as session:
            return group_records(session, session.scalars(query).all())

    def runs(self, group: str) -> tuple[StageRunRecord, ...]:
        """Every attempt at every stage of a group, in order."""
        query = select(models.StageRun).where(models.StageRun.group_id == group).order_by(models.StageRun.id)
        with self._database.read() as session:
            return tuple(record_of(StageRunRecord, row) for row in session.scalars(query))

    def retry(self, group: str, *, stage: Stage | None = None) -> GroupRecord:
        """Put a group back to `pending` with fresh attempts, at its own stage or from an earlier one.

        A failed or discarded group goes on where it stopped; a completed one is made again (from convert unless told
        otherwise). BadInput when it is on its way already, has no files, or has not come as far as the stage.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = known_group(session, group)
            if row.state not in (State.FAILED, State.DISCARDED, State.COMPLETED):
                raise BadInput(f"group {group}: is {row.state}; only failed, discarded or completed groups are retried")
            completed = row.state == State.COMPLETED
            start = stage or (Stage.CONVERT if completed else Stage(row.stage))
            if not completed and Stage(row.stage).precedes(start):
                raise BadInput(f"group {group}: {row.stage} comes before {start}; retry from there")
            if start == Stage.CONVERT and not files_of(session, group, FileState.PRESENT, FileState.LATE):
                raise BadInput(f"group {group}: none of its files is usable; nothing to convert")
            supersede_runs(session, group, start)
            row.stage, row.attempts, row.not_before, row.enqueued_at = start, 0, None, None
            row.error = row.completed_at = None
            end_lease(row, State.PENDING, now)
            note(session, now, INFO, group, f"retry from {start}")
            return group_records(session, [row])[0]

    def discard(self, group: str) -> GroupRecord:
        """Take a group out of the stream; its files stay on disk. BadInput while a worker has it or when completed."""
        now = self._database.clock()
        with self._database.write() as session:
            row = known_group(session, group)
            if row.state in (State.IN_PROGRESS, State.COMPLETED):
                raise BadInput(f"group {group}: is {row.state}; only groups that wait or failed are discarded")
            end_lease(row, State.DISCARDED, now)
            row.error = "discarded by an operator"
            note(session, now, WARNING, group, row.error)
            return group_records(session, [row])[0]

    def pause(self, by: str) -> None:
        """Let no further stage begin, on any host, until `resume`; stages under way end as usual."""
        self._switch("1", by, "paused")

    def resume(self, by: str) -> None:
        """Let stages begin again; all pending work is due for the reconciler at once."""
        self._switch("0", by, "resumed")

    @property
    def paused(self) -> bool:
        """Whether the stream is paused."""
        with self._database.read() as session:
            switch = session.get(models.Control, PAUSED)
            return switch is not None and switch.value == "1"

    @property
    def paused_by(self) -> str | None:
        """Who has paused the stream; None when nobody has."""
        with self._database.read() as session:
            switch = session.get(models.Control, PAUSED)
            return (switch.changed_by or "somebody") if switch is not None and switch.value == "1" else None

    def work_waiting(
        self, older_than_s: float, limit: int = 100, *, sent_only: bool = False
    ) -> tuple[WaitingWork, ...]:
        """Pending groups to send (again): never enqueued, or longer ago than the queue's backlog could explain.

        Oldest observation first; none while paused. `sent_only` leaves out what was never enqueued.
        """
        now = self._database.clock()
        group = models.Group
        sent = group.enqueued_at <= now - older_than_s
        query = (
            select(group)
            .where(_due(now), sent if sent_only else or_(group.enqueued_at.is_(None), sent))
            .order_by(group.reference_s)
            .limit(limit)
        )
        if self.paused:
            return ()
        with self._database.read() as session:
            return tuple(
                WaitingWork(row.id, Stage(row.stage), row.attempts, row.enqueued_at) for row in session.scalars(query)
            )

    def take_unsent(
        self,
        most_in_flight: int,
        order: Callable[[Sequence[Unsent]], Sequence[Unsent]],
        *,
        newest_first: bool = True,
        look_ahead: int = 1000,
    ) -> tuple[Unsent, ...]:
        """Take pending groups that nobody has sent, the first in `order`, and count them as sent now.

        So many that at most `most_in_flight` are then sent or in progress; none while paused. `order` sees the
        `look_ahead` newest (or oldest) of those that wait, however many they are. Whoever cannot send what was taken
        says so with `mark_unsent`.
        """
        now, group = self._database.clock(), models.Group
        unsent = select(group.id, group.stage, group.reference_s).where(_due(now), group.enqueued_at.is_(None))
        # All have no `enqueued_at`: it is named for PostgreSQL, which then reads them in the index's own order.
        keys = (group.enqueued_at, group.reference_s)
        unsent = unsent.order_by(*(one.desc() if newest_first else one.asc() for one in keys))
        with self._database.read() as session:
            if session.execute(unsent.limit(1)).first() is None or _room(session, most_in_flight) <= 0:
                return ()
        if self.paused:
            return ()
        with self._database.write() as session:
            room = max(0, _room(session, most_in_flight))
            front = session.execute(unsent.limit(max(look_ahead, room)))
            taken = tuple(order([Unsent(name, Stage(stage), at) for name, stage, at in front])[:room])
            _set_enqueued(session, [one.group for one in taken], now, _due(now))
            return taken

    def mark_unsent(self, groups: Iterable[str]) -> None:
        """Say that no message for these groups could be sent after all."""
        names = list(groups)
        if names:
            with self._database.write() as session:
                _set_enqueued(session, names, None, models.Group.state == State.PENDING)

    def beat(self, name: str, text: str = "") -> None:
        """Record a success of a process now, for example beat("producer.scan"): its age is health."""
        with self._database.write() as session:
            session.merge(models.Control(key=f"beat.{name}", value=text, changed_at=self._database.clock()))

    def last_beat(self, name: str) -> float | None:
        """When that success was last recorded (epoch seconds), or None."""
        with self._database.read() as session:
            row = session.get(models.Control, f"beat.{name}")
            return row.changed_at if row else None

    def beat_text(self, name: str) -> str | None:
        """What was recorded with that success, or None."""
        with self._database.read() as session:
            row = session.get(models.Control, f"beat.{name}")
            return row.value if row else None

    def _switch(self, value: str, by: str, word: str) -> None:
        now = self._database.clock()
        with self._database.write() as session:
            session.merge(models.Control(key=PAUSED, value=value, changed_at=now, changed_by=by))
            if value == "0":
                # Messages that came during the pause were refused and are gone.
                pending = update(models.Group).where(models.Group.state == State.PENDING)
                session.execute(pending.values(enqueued_at=None))
            note(session, now, INFO, None, f"{word} by {by}")


def _due(now: float) -> ColumnElement[bool]:
    """The condition of pending groups whose wait after an error, if any, is over."""
    group = models.Group
    return (group.state == State.PENDING) & or_(group.not_before.is_(None), group.not_before <= now)


def _set_enqueued(session: Session, names: Sequence[str], at: float | None, condition: ColumnElement[bool]) -> None:
    """Say when these groups were sent, as far as the condition holds.

    One by one: given a list of names and a state SQLite may walk through all groups of that state.
    """
    group = models.Group
    one = update(group).where(group.id == bindparam("name"), condition).values(enqueued_at=at)
    if names:
        session.connection().execute(one, [{"name": name} for name in names])


def _room(session: Session, most_in_flight: int) -> int:
    """How many groups more may be sent."""
    group = models.Group
    # A comparison, not "is not null": that one SQLite does not look up in an index.
    sent = (group.state == State.PENDING) & (group.enqueued_at >= 0)
    counts = [select(func.count()).select_from(group).where(one) for one in (group.state == State.IN_PROGRESS, sent)]
    return most_in_flight - sum(session.scalars(one).one() for one in counts)


def group_records(session: Session, rows: Iterable[models.Group]) -> tuple[GroupRecord, ...]:
    """The records of groups' rows, each with the subbands it has."""
    found = list(rows)
    file = models.SubbandFile
    usable = select(file.group_id, file.subband).where(
        file.group_id.in_([row.id for row in found]), file.state != FileState.SET_ASIDE
    )
    subbands: dict[str, list[int | None]] = {row.id: [] for row in found}
    for group, subband in session.execute(usable):
        if group is not None:
            subbands[group].append(subband)
    return tuple(group_record(row, subbands[row.id]) for row in found)
