"""What an operator should hear of without looking: files that come while nothing advances, a backlog that grows."""

from dataclasses import dataclass

from sqlalchemy import func, select

from contimg.flow import FlowRules
from contimg.store import State, Store, models


@dataclass(frozen=True)
class Pulse:
    """The stream's signs of life, epoch seconds; None when there never was one.

    Attributes
    ----------
    last_arrival : the newest file. last_advance : the newest committed stage.
    waiting_since : when the longest waiting of the groups that are not done became ready.
    waiting : groups that are ready and not done.
    done_in_window, arrived_in_window : groups completed, and groups begun, in the last quarter of an hour.
    """

    last_arrival: float | None
    last_advance: float | None
    waiting_since: float | None
    waiting: int
    done_in_window: int
    arrived_in_window: int


WINDOW_S = 900.0


def pulse(store: Store) -> Pulse:
    """Read the signs of life."""
    group, file, run = models.Group, models.SubbandFile, models.StageRun
    since = store.database.clock() - WINDOW_S
    ready = group.state.in_([State.PENDING, State.IN_PROGRESS])
    with store.database.read() as session:
        return Pulse(
            last_arrival=session.scalar(select(func.max(file.arrived_at))),
            last_advance=session.scalar(select(func.max(run.ended_at)).where(run.outcome == "committed")),
            waiting_since=session.scalar(select(func.min(group.updated_at)).where(ready)),
            waiting=session.scalars(select(func.count()).select_from(group).where(ready)).one(),
            done_in_window=session.scalars(
                select(func.count()).select_from(group).where(group.completed_at > since)
            ).one(),
            arrived_in_window=session.scalars(
                select(func.count()).select_from(group).where(group.created_at > since)
            ).one(),
        )


def catch_up_s(seen: Pulse) -> float | None:
    """How long until the backlog is gone at the present rates; None when it is not shrinking."""
    gain = (seen.done_in_window - seen.arrived_in_window) / WINDOW_S
    return seen.waiting / gain if gain > 0 else None


class Alarms:
    """Each alarm is told once when it begins and once when it is over."""

    def __init__(self, store: Store, rules: FlowRules) -> None:
        self._store = store
        self._rules = rules
        self._on: set[str] = set()

    def look(self) -> None:
        """Look once, and tell what has begun or ended."""
        seen = pulse(self._store)
        self._tell("stall", self._stalled(seen), "error", "groups advance again")
        self._tell("backlog", self._backlog(seen), "warning", "the backlog is gone")

    def _stalled(self, seen: Pulse) -> str | None:
        """Groups wait, files have come, nothing was committed, for longer than the rule; never while paused."""
        now, limit_s = self._store.database.clock(), self._rules.stall_s
        signs = [at for at in (seen.last_advance, seen.waiting_since) if at is not None]
        if seen.waiting_since is None or seen.last_arrival is None or self._store.queue.paused:
            return None
        since = max(signs)
        if now - since < limit_s:
            return None
        return f"stall: {seen.waiting} groups wait and none has advanced for {now - since:.0f} s; are the workers up?"

    def _backlog(self, seen: Pulse) -> str | None:
        if seen.waiting <= self._rules.backlog_groups:
            return None
        left_s = catch_up_s(seen)
        when = "not shrinking at present" if left_s is None else f"caught up in about {_span(left_s)} at this rate"
        return f"backlog: {seen.waiting} groups wait, {when}"

    def _tell(self, name: str, trouble: str | None, level: str, over: str) -> None:
        if trouble and name not in self._on:
            self._on.add(name)
            self._store.events.add(trouble, level=level)
        elif not trouble and name in self._on:
            self._on.discard(name)
            self._store.events.add(over)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
