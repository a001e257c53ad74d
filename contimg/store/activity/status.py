"""The state of the stream, as `contimg status` prints and the panel shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import Annotated

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.formats.records import NO_UNIT, GroupId, about
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S, SIDEREAL_DAY_S
from contimg.settings.alerts import ERROR, WARNING
from contimg.store import tables
from contimg.store.activity.events import EventRecord
from contimg.store.database import Database, Repository, count
from contimg.store.files.groups import FileRecord, FileState
from contimg.store.jobs.kinds import EPOCH, LIVE, TILE, Stage, State
from contimg.store.jobs.records import Outcome, jobs_in_progress, pause_switch
from contimg.store.products.records import StoredImage
from contimg.store.tables import record_of

RATE_WINDOW_S = 3600.0


_STATES = {"collecting": 1, "pending": 2, "in_progress": 2, "completed": 288, "failed": 1, "discarded": 0}
StateCounts = Annotated[Mapping[State, int], about("Groups by state, every state named", "groups", _STATES)]
StageCounts = Annotated[
    Mapping[Stage, int], about("Pending groups by next stage", "groups", {"convert": 1, "calibrate": 1, "image": 0})
]
PendingAge = Annotated[
    float | None, about("Age of the oldest pending group since its first file; null for none", "s", 310.0)
]


@dataclass(frozen=True)
class Running:
    """A stage in progress: when it started and when its lease expires (epoch seconds)."""

    group: GroupId
    stage: Annotated[Stage, about("The stage in progress", example="image")]
    owner: Annotated[str, about("Worker that runs it", example="worker-image@lxd110h03:4711")]
    attempt: Annotated[int, about("1 for the first attempt at this stage", "attempts", 1)]
    started_at: Annotated[float, about("When it began")]
    expires_at: Annotated[float, about("When its lease ends unless it is extended")]


@dataclass(frozen=True)
class Rates:
    """How fast the stream goes; None where nothing has happened yet."""

    groups_per_hour: Annotated[float, about("Groups completed in the last hour", "1/h", 11.0)]
    latency_s: Annotated[
        float | None, about("Median time from a group's first file to its image, over the last hour", "s", 412.0)
    ]
    stage_seconds: Annotated[
        Mapping[Stage, float],
        about(
            "Median duration of a committed run, by stage, over the last hour",
            "s",
            {"convert": 6.4, "calibrate": 31.0, "image": 9.7},
        ),
    ]
    image_after_s: Annotated[
        float | None, about("Median time from a group's last file to its image, over the last hour", "s", 71.0)
    ] = None
    image_after_p95_s: Annotated[
        float | None, about("95th percentile of the time from a group's last file to its image", "s", 118.0)
    ] = None

    epoch_step_s: Annotated[float, about("Time between the beginnings of two epochs", "s", 1795.1)] = 1795.1

    @property
    def real_time_factor(self) -> Annotated[float | None, about("Seconds of sky per second of processing, all stages "
                                                                "in sequence, and the tile's part of its epochs",
                                                                NO_UNIT, 6.5)]:  # fmt: skip
        """Seconds of sky per second of processing; None until each stage of a tile has run.

        The stages of a tile count in sequence, those of an epoch with the part that is due to one tile.
        """
        if not set(TILE.stages) <= set(self.stage_seconds):
            return None
        total_s = sum(self.stage_seconds[stage] for stage in TILE.stages)
        total_s += sum(self.stage_seconds.get(stage, 0.0) for stage in EPOCH.stages) * CADENCE_S / self.epoch_step_s
        return CADENCE_S / total_s if total_s > 0 else None


@dataclass(frozen=True)
class FailedGroup:
    """A group that ended in an error."""

    group: GroupId
    error: Annotated[str, about("Why it failed", example="incomplete, 7 of 16")]


@dataclass(frozen=True)
class Status:
    """One consistent view of the store at `at` (epoch seconds)."""

    at: Annotated[float, about("Time of this view of the store")]
    paused: Annotated[bool, about("Whether no stage is started", example=False)]
    states: StateCounts
    waiting: StageCounts
    running: Annotated[tuple[Running, ...], about("Stages of the stream in progress")]
    oldest_pending_s: PendingAge
    rates: Annotated[Rates, about("How fast the stream goes")]
    set_aside_count: Annotated[int, about("Quarantined files", "files", 2)]
    set_aside: Annotated[tuple[FileRecord, ...], about("The newest quarantined files")]
    failed: Annotated[tuple[FailedGroup, ...], about("The newest failed groups")]
    images: Annotated[tuple[StoredImage, ...], about("The newest images")]
    warnings: Annotated[tuple[EventRecord, ...], about("The newest events of level warning or error")]


class Overview(Repository):
    """Snapshots of the whole store."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._completed: tuple[object, int] = (None, 0)

    def snapshot(self, shown: int = 5) -> Status:
        """Read the present state of the stream in one consistent view.

        Parameters
        ----------
        shown : how many of the newest quarantined files, failed groups, images and warnings to list.
        """
        now = self._database.clock()
        epoch_step_s = self._database.rules.epoch_step_min * 60 * SIDEREAL_DAY_S / DAY_S
        job, file = tables.Job, tables.SubbandFileRow
        live = (job.kind == TILE.name, job.processing == LIVE)
        aside = select(file).where(file.state == FileState.QUARANTINED).order_by(file.arrived_at.desc()).limit(shown)
        failed = select(job).where(job.state == State.FAILED, *live).order_by(job.updated_at.desc()).limit(shown)
        image = tables.Image
        images = select(image).where(image.processing == LIVE).order_by(image.created_at.desc()).limit(shown)
        with self._database.read() as session:
            oldest = session.scalar(select(func.min(job.created_at)).where(job.state == State.PENDING, *live))
            return Status(
                at=now,
                paused=pause_switch(session) is not None,
                states=self._states(session),
                waiting=_waiting(session),
                running=_running(session),
                oldest_pending_s=None if oldest is None else now - oldest,
                rates=replace(_rates(session, now), epoch_step_s=epoch_step_s),
                set_aside_count=count(session, file, file.state == FileState.QUARANTINED),
                set_aside=tuple(record_of(FileRecord, row) for row in session.scalars(aside)),
                failed=tuple(FailedGroup(row.key, row.error or "") for row in session.scalars(failed)),
                images=tuple(record_of(StoredImage, row) for row in session.scalars(images)),
                warnings=_warnings(session, shown),
            )

    def _states(self, session: Session) -> dict[State, int]:
        """Groups per state. The completed are many: they are counted again only when one was added or removed."""
        job = tables.Job

        def in_state(state: State) -> int:
            return count(session, job, job.state == state, job.kind == TILE.name, job.processing == LIVE)

        counts = {state: in_state(state) for state in State if state != State.COMPLETED}
        key = (tuple(counts.values()), session.scalar(select(func.max(job.completed_at))))
        counted_key, completed = self._completed
        if counted_key != key:
            completed = in_state(State.COMPLETED)
            self._completed = (key, completed)
        return {state: completed if state == State.COMPLETED else counts[state] for state in State}


def _warnings(session: Session, shown: int) -> tuple[EventRecord, ...]:
    """The newest of each level, then the newest of those: one query for both would read past all other events."""
    event = tables.Event
    rows: list[tables.Event] = []
    for level in (WARNING, ERROR):
        rows += session.scalars(select(event).where(event.level == level).order_by(event.id.desc()).limit(shown))
    return tuple(record_of(EventRecord, row) for row in sorted(rows, key=lambda row: -row.id)[:shown])


def _waiting(session: Session) -> dict[Stage, int]:
    job = tables.Job
    is_live = job.processing == LIVE
    pending = select(job.stage, func.count()).where(job.state == State.PENDING, is_live).group_by(job.stage)
    counted = {stage: number for stage, number in session.execute(pending)}
    return {stage: counted.get(stage, 0) for stage in Stage}


def _running(session: Session) -> tuple[Running, ...]:
    live = jobs_in_progress().where(tables.Job.processing == LIVE)
    rows = session.execute(live.order_by(tables.StageRun.started_at))
    return tuple(
        record_of(Running, run, group=job.key, expires_at=job.lease_expires_at or run.started_at) for job, run in rows
    )


def _rates(session: Session, now: float) -> Rates:
    job, run = tables.Job, tables.StageRun
    since = now - RATE_WINDOW_S
    # Only completed jobs have a time of completion; asking for the state too, SQLite would walk through all of them.
    completed = select(job.id, job.key, job.created_at, job.completed_at).where(
        job.completed_at > since, job.kind == TILE.name, job.processing == LIVE
    )
    rows = [row for row in session.execute(completed) if row.completed_at is not None]
    # The latency of the stream is that of first runs: a job that was retried or reprocessed has other runs too.
    other_runs = select(run.job_id).where(run.job_id.in_([row.id for row in rows]), run.outcome != Outcome.COMMITTED)
    repeated = set(session.scalars(other_runs))
    ended = {row.key: (row.created_at, float(row.completed_at)) for row in rows if row.id not in repeated}
    done = [end - start for start, end in ended.values()]
    file = tables.SubbandFileRow
    last_files = (
        select(file.group_id, func.max(file.arrived_at))
        .where(file.group_id.in_(list(ended)), file.state != FileState.QUARANTINED)
        .group_by(file.group_id)
    )
    after = sorted(ended[name][1] - arrived for name, arrived in session.execute(last_files) if name is not None)
    seconds: dict[Stage, list[float]] = {}
    of_stream = (run.outcome == Outcome.COMMITTED, run.processing == LIVE)
    runs = select(run.stage, run.seconds).where(*of_stream, run.ended_at > since)
    for stage, value in session.execute(runs):
        if value is not None:
            seconds.setdefault(Stage(stage), []).append(value)
    return Rates(
        groups_per_hour=len(rows) * 3600.0 / RATE_WINDOW_S,
        latency_s=median(done) if done else None,
        stage_seconds={stage: median(values) for stage, values in seconds.items()},
        image_after_s=median(after) if after else None,
        image_after_p95_s=after[ceil(0.95 * len(after)) - 1] if after else None,
    )
