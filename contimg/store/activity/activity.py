"""What the stream has done last and what waits: alarms and the start page are derived from it."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.formats.records import about
from contimg.store import tables
from contimg.store.database import Repository, count
from contimg.store.files.groups import FileState
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.jobs.records import Outcome, pause_switch

WINDOW_S = 900.0
_DISK_PAUSE = "disk_pause"  # key in the table of switches
_LIVE_TILE = (tables.Job.kind == TILE.name, tables.Job.processing == LIVE)


@dataclass(frozen=True)
class StreamActivity:
    """Activity of the live stream at `at`; times are epoch seconds, None when there was none.

    Attributes
    ----------
    last_arrival : the newest file. last_advance : the newest committed stage. last_product : the newest image.
    unanswered_since : first arrival of the earliest group that came after the newest image.
    waiting_since : when the longest waiting tile became ready.
    waiting : tiles that are ready or in progress.
    done_in_window, arrived_in_window : tiles completed, and groups first seen, in the last WINDOW_S.
    failed_in_row : tiles that failed since the last one was completed.
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
        """Seconds until no job waits, at the present rates; None when the backlog does not shrink."""
        gain = (self.done_in_window - self.arrived_in_window) / WINDOW_S
        return self.waiting / gain if gain > 0 else None


@dataclass(frozen=True)
class Beat:
    """A recorded success of a process: its text, and its time (epoch seconds)."""

    text: str
    at: float


@dataclass(frozen=True)
class DiskPause:
    """A pause of the stream while a disk is too full."""

    directory: Annotated[str, about("Directory on the disk that is too full", example="/data/products")]
    used_percent: Annotated[float, about("Usage of the disk", "%", 95.3)]
    limit_percent: Annotated[float, about("Usage at and above which the stream pauses", "%", 95.0)]
    resume_percent: Annotated[float, about("Usage below which it resumes by itself", "%", 90.0)]
    free_bytes: Annotated[int, about("Free space", "byte", 47_000_000_000)]
    freeable_bytes: Annotated[int, about("Space that retention would free with the present rules", "byte", 12_000_000)]
    freeable_at: Annotated[float, about("When that was determined")]

    @property
    def is_too_full(self) -> bool:
        """Whether the disk is at its limit, so that `resume` would be followed by another pause."""
        return self.used_percent >= self.limit_percent

    @property
    def reason(self) -> str:
        """The pause in one line: directory, usage, limit, free space, and what ends it."""
        return (
            f"{self.directory}: disk is {self.used_percent:.1f} % full (limit {self.limit_percent:g} %), "
            f"{self.free_bytes / 1e9:.1f} GB free; the stream resumes below {self.resume_percent:g} %; "
            f"retention would free {self.freeable_bytes / 1e9:.1f} GB"
        )


class Activity(Repository):
    """Reads the stream's activity, each part by an index, and keeps the times of processes' last successes."""

    def read(self) -> StreamActivity:
        """The activity now, in one consistent view."""
        now = self._database.clock()
        group, job, image, run = tables.Group, tables.Job, tables.Image, tables.StageRun
        of_stream = (run.outcome == Outcome.COMMITTED, run.processing == LIVE)
        advance = select(run.ended_at).where(*of_stream, run.ended_at.is_not(None))
        with self._database.read() as session:
            last_product = session.scalar(select(func.max(image.created_at)).where(image.processing == LIVE))
            later = select(func.min(group.created_at)).where(group.created_at > (last_product or 0.0))
            waiting_since, waiting = _waiting(session)
            return StreamActivity(
                at=now,
                last_arrival=_last_arrival(session),
                last_advance=session.scalar(advance.order_by(run.ended_at.desc()).limit(1)),
                last_product=last_product,
                unanswered_since=session.scalar(later),
                waiting_since=waiting_since,
                waiting=waiting,
                done_in_window=count(session, job, job.completed_at > now - WINDOW_S, *_LIVE_TILE),
                arrived_in_window=count(session, group, group.created_at > now - WINDOW_S),
                failed_in_row=_failed_in_row(session),
            )

    def beat(self, name: str, text: str = "") -> None:
        """Record a success of a process now, for example beat("producer.scan").

        Parameters
        ----------
        name : of the process and what it did; a later success of the same name replaces this one.
        text : what to store with it, for `beat_text`.
        """
        with self._database.write() as session:
            session.merge(tables.Control(key=f"beat.{name}", value=text, changed_at=self._database.clock()))

    def last_beat(self, name: str) -> float | None:
        """Return when a success was last recorded, epoch seconds, or None.

        Parameters
        ----------
        name : as given to `beat`.
        """
        row = self._beat(name)
        return row.changed_at if row else None

    def beat_text(self, name: str) -> str | None:
        """Return the text recorded with the last success of a name, or None.

        Parameters
        ----------
        name : as given to `beat`.
        """
        row = self._beat(name)
        return row.value if row else None

    def beats(self, prefix: str) -> dict[str, Beat]:
        """Return the beats whose names begin with a prefix, by the rest of the name.

        Parameters
        ----------
        prefix : beginning of the names, as given to `beat`.
        """
        control, key = tables.Control, f"beat.{prefix}"
        query = select(control).where(control.key.startswith(key, autoescape=True)).order_by(control.key)
        with self._database.read() as session:
            return {row.key.removeprefix(key): Beat(row.value, row.changed_at) for row in session.scalars(query)}

    def disk_pause(self) -> DiskPause | None:
        """Return the disk that is too full while the stream is paused, otherwise None."""
        full = self.full_disk()
        with self._database.read() as session:
            return full if full is not None and pause_switch(session) is not None else None

    def full_disk(self) -> DiskPause | None:
        """Return the disk last recorded as too full, whether or not the stream is paused; None when there is none."""
        with self._database.read() as session:
            row = session.get(tables.Control, _DISK_PAUSE)
            return DiskPause(**json.loads(row.value)) if row and row.value else None

    def record_full_disk(self, disk: DiskPause | None) -> None:
        """Record the disk that is too full now; None when there is none. Nothing is written when it is already so.

        Parameters
        ----------
        disk : its usage and limits.
        """
        if disk == self.full_disk():
            return
        value = "" if disk is None else json.dumps(asdict(disk))
        with self._database.write() as session:
            session.merge(tables.Control(key=_DISK_PAUSE, value=value, changed_at=self._database.clock()))

    def store_identity(self) -> str:
        """Return the random name of this store, which is given at the first call."""
        control, key = tables.Control, "store.identity"
        with self._database.write() as session:
            row = session.get(control, key, with_for_update=True)
            if row is None:
                row = control(key=key, value=uuid4().hex, changed_at=self._database.clock())
                session.add(row)
            return row.value

    def _beat(self, name: str) -> tables.Control | None:
        with self._database.read() as session:
            return session.get(tables.Control, f"beat.{name}")


def _last_arrival(session: Session) -> float | None:
    """The newest of each state, then the newest of those, because the index begins with the state."""
    file = tables.SubbandFileRow
    newest = [session.scalar(select(func.max(file.arrived_at)).where(file.state == state)) for state in FileState]
    return max((time_s for time_s in newest if time_s is not None), default=None)


def _waiting(session: Session) -> tuple[float | None, int]:
    """Since when the longest waiting job is ready, and the number of jobs ready or in progress."""
    job, since, number = tables.Job, [], 0
    for state in (State.PENDING, State.IN_PROGRESS):
        conditions = (job.state == state, *_LIVE_TILE)
        since.append(session.scalar(select(job.updated_at).where(*conditions).order_by(job.updated_at).limit(1)))
        number += count(session, job, *conditions)
    return min((time_s for time_s in since if time_s is not None), default=None), number


def _failed_in_row(session: Session) -> int:
    job = tables.Job
    completed = select(job.completed_at).where(job.completed_at.is_not(None), *_LIVE_TILE)
    since = session.scalar(completed.order_by(job.completed_at.desc()).limit(1)) or 0.0
    return count(session, job, job.state == State.FAILED, job.updated_at > since, *_LIVE_TILE)
