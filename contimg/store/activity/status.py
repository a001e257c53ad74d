"""The stream at a glance: what `contimg status` prints and the panel shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import median

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.store import tables as models
from contimg.store.activity.events import ERROR, WARNING
from contimg.store.database import Database
from contimg.store.jobs.leases import PAUSED
from contimg.store.products.products import StoredImage
from contimg.store.records import EventRecord, FileRecord, FileState, Stage, State, record_of
from contimg.store.rows import file_record

RATE_WINDOW_S = 3600.0


@dataclass(frozen=True)
class Running:
    """A stage under way: since when and until when its lease holds (epoch seconds)."""

    group: str
    stage: Stage
    owner: str
    attempt: int
    started_at: float
    expires_at: float


@dataclass(frozen=True)
class Rates:
    """How fast the stream goes; None where nothing has happened yet.

    Attributes
    ----------
    groups_per_hour : completed in the last hour.
    latency_s : median time from a group's first file to its image, over the same hour.
    image_after_s, image_after_p95_s : median and 95th percentile of the time from a group's last file to its image.
    stage_seconds : median seconds of a committed run, per stage, over the same hour.
    """

    groups_per_hour: float
    latency_s: float | None
    stage_seconds: Mapping[Stage, float]
    image_after_s: float | None = None
    image_after_p95_s: float | None = None


@dataclass(frozen=True)
class Status:
    """One consistent view of the store at `at` (epoch seconds).

    Attributes
    ----------
    states : groups per state, every state named.
    waiting : pending groups per next stage.
    oldest_pending_s : age of the oldest pending group since its first file, s, or None.
    set_aside, set_aside_count : the newest files set aside, and how many there are.
    failed : the newest failed groups: id and error.
    """

    at: float
    paused: bool
    states: Mapping[State, int]
    waiting: Mapping[Stage, int]
    running: tuple[Running, ...]
    oldest_pending_s: float | None
    rates: Rates
    set_aside_count: int
    set_aside: tuple[FileRecord, ...]
    failed: tuple[tuple[str, str], ...]
    images: tuple[StoredImage, ...]
    warnings: tuple[EventRecord, ...]


class Overview:
    """Snapshots of the whole store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._completed: tuple[object, int] = (None, 0)

    def snapshot(self, shown: int = 5) -> Status:
        """The stream now, with the newest `shown` of each list."""
        now = self._database.clock()
        group, file = models.Group, models.SubbandFile
        aside = select(file).where(file.state == FileState.SET_ASIDE).order_by(file.arrived_at.desc()).limit(shown)
        failed = select(group).where(group.state == State.FAILED).order_by(group.updated_at.desc()).limit(shown)
        images = select(models.Image).order_by(models.Image.created_at.desc()).limit(shown)
        with self._database.read() as session:
            switch = session.get(models.Control, PAUSED)
            oldest = session.scalar(select(func.min(group.created_at)).where(group.state == State.PENDING))
            return Status(
                at=now,
                paused=switch is not None and switch.value == "1",
                states=self._states(session),
                waiting=_waiting(session),
                running=_running(session),
                oldest_pending_s=None if oldest is None else now - oldest,
                rates=_rates(session, now),
                set_aside_count=session.scalars(
                    select(func.count()).select_from(file).where(file.state == FileState.SET_ASIDE)
                ).one(),
                set_aside=tuple(file_record(row) for row in session.scalars(aside)),
                failed=tuple((row.id, row.error or "") for row in session.scalars(failed)),
                images=tuple(record_of(StoredImage, row) for row in session.scalars(images)),
                warnings=_warnings(session, shown),
            )

    def _states(self, session: Session) -> dict[State, int]:
        """Groups per state. The completed are many: they are counted anew only when one has come or gone."""
        group = models.Group

        def count(state: State) -> int:
            return session.scalars(select(func.count()).select_from(group).where(group.state == state)).one()

        others = {state: count(state) for state in State if state != State.COMPLETED}
        key = (tuple(others.values()), session.scalar(select(func.max(group.completed_at))))
        known, completed = self._completed
        if known != key:
            completed = count(State.COMPLETED)
            self._completed = (key, completed)
        return {state: completed if state == State.COMPLETED else others[state] for state in State}


def _warnings(session: Session, shown: int) -> tuple[EventRecord, ...]:
    """The newest of each level, then the newest of those: one look for both would read past every other event."""
    event = models.Event
    rows: list[models.Event] = []
    for level in (WARNING, ERROR):
        rows += session.scalars(select(event).where(event.level == level).order_by(event.id.desc()).limit(shown))
    return tuple(record_of(EventRecord, row) for row in sorted(rows, key=lambda row: -row.id)[:shown])


def _waiting(session: Session) -> dict[Stage, int]:
    group = models.Group
    pending = select(group.stage, func.count()).where(group.state == State.PENDING).group_by(group.stage)
    counted = {stage: number for stage, number in session.execute(pending)}
    return {stage: counted.get(stage, 0) for stage in Stage}


def _running(session: Session) -> tuple[Running, ...]:
    group, run = models.Group, models.StageRun
    query = (
        select(group, run.started_at)
        .join(run, (run.group_id == group.id) & (run.fence == group.fence))
        .where(group.state == State.IN_PROGRESS)
        .order_by(run.started_at)
    )
    return tuple(
        Running(
            row.id,
            Stage(row.stage),
            row.lease_owner or "",
            row.attempts,
            started_at,
            row.lease_expires_at or started_at,
        )
        for row, started_at in session.execute(query)
    )


def _rates(session: Session, now: float) -> Rates:
    group, run = models.Group, models.StageRun
    since = now - RATE_WINDOW_S
    # Only completed groups have a time of completion; asking for the state too, SQLite would walk through all of them.
    completed = select(group.id, group.created_at, group.completed_at).where(group.completed_at > since)
    ended = {name: (start, float(end)) for name, start, end in session.execute(completed) if end is not None}
    done = [end - start for start, end in ended.values()]
    file = models.SubbandFile
    last_files = (
        select(file.group_id, func.max(file.arrived_at))
        .where(file.group_id.in_(list(ended)), file.state != FileState.SET_ASIDE)
        .group_by(file.group_id)
    )
    after = sorted(ended[name][1] - arrived for name, arrived in session.execute(last_files) if name is not None)
    seconds: dict[Stage, list[float]] = {}
    runs = select(run.stage, run.seconds).where(run.outcome == "committed", run.ended_at > since)
    for stage, value in session.execute(runs):
        if value is not None:
            seconds.setdefault(Stage(stage), []).append(value)
    return Rates(
        groups_per_hour=len(done) * 3600.0 / RATE_WINDOW_S,
        latency_s=median(done) if done else None,
        stage_seconds={stage: median(values) for stage, values in seconds.items()},
        image_after_s=median(after) if after else None,
        image_after_p95_s=after[ceil(0.95 * len(after)) - 1] if after else None,
    )
