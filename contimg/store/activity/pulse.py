"""The stream's signs of life, which alarms and the start page are judged from. Each is found by an index."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.store import tables as models
from contimg.store.database import Database
from contimg.store.records import FileState, Outcome, State

WINDOW_S = 900.0


@dataclass(frozen=True)
class Pulse:
    """The stream's signs of life at `at`; times are epoch seconds, None when there never was one.

    Attributes
    ----------
    last_arrival : the newest file. last_advance : the newest committed stage. last_product : the newest image.
    unanswered_since : when the first of the groups began that came after the newest image.
    waiting_since : when the longest waiting of the groups that are not done became ready.
    waiting : groups that are ready and not done.
    done_in_window, arrived_in_window : groups completed, and groups begun, in the last quarter of an hour.
    failed_in_row : groups that failed since the last one was completed.
    """

    at: float
    last_arrival: float | None
    last_advance: float | None
    last_product: float | None
    unanswered_since: float | None
    waiting_since: float | None
    waiting: int
    done_in_window: int
    arrived_in_window: int
    failed_in_row: int

    @property
    def catch_up_s(self) -> float | None:
        """How long until the backlog is gone at the present rates; None when it is not shrinking."""
        gain = (self.done_in_window - self.arrived_in_window) / WINDOW_S
        return self.waiting / gain if gain > 0 else None


class Pulses:
    """Takes the pulse."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self) -> Pulse:
        """Read the signs of life, in one consistent view."""
        now = self._database.clock()
        group, image, run = models.Group, models.Image, models.StageRun
        advance = select(run.ended_at).where(run.outcome == Outcome.COMMITTED, run.ended_at.is_not(None))
        with self._database.read() as session:
            last_product = session.scalar(select(func.max(image.created_at)))
            later = select(func.min(group.created_at)).where(group.created_at > (last_product or 0.0))
            waiting_since, waiting = _waiting(session)
            return Pulse(
                at=now,
                last_arrival=_last_arrival(session),
                last_advance=session.scalar(advance.order_by(run.ended_at.desc()).limit(1)),
                last_product=last_product,
                unanswered_since=session.scalar(later),
                waiting_since=waiting_since,
                waiting=waiting,
                done_in_window=_count(session, group.completed_at > now - WINDOW_S),
                arrived_in_window=_count(session, group.created_at > now - WINDOW_S),
                failed_in_row=_failed_in_row(session),
            )


def _last_arrival(session: Session) -> float | None:
    """The newest of each state, then the newest of those: that is what the index knows."""
    file = models.SubbandFile
    newest = [session.scalar(select(func.max(file.arrived_at)).where(file.state == one)) for one in FileState]
    return max((at for at in newest if at is not None), default=None)


def _waiting(session: Session) -> tuple[float | None, int]:
    """Since when the oldest of the groups that are ready waits, and how many there are."""
    group, found = models.Group, []
    for state in (State.PENDING, State.IN_PROGRESS):
        oldest = select(func.min(group.updated_at)).where(group.state == state)
        found.append((session.scalar(oldest), _count(session, group.state == state)))
    return min((at for at, _ in found if at is not None), default=None), sum(number for _, number in found)


def _failed_in_row(session: Session) -> int:
    group = models.Group
    since = session.scalar(select(func.max(group.completed_at))) or 0.0
    return _count(session, group.state == State.FAILED, group.updated_at > since)


def _count(session: Session, *conditions: object) -> int:
    return session.scalars(select(func.count()).select_from(models.Group).where(*conditions)).one()  # type: ignore[arg-type]
