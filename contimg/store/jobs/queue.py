"""Jobs as an operator, the dispatcher and the reconciler see them: list, retry, discard, pause, send."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, bindparam, not_, or_, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput, Incomplete
from contimg.settings.alerts import INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository, count
from contimg.store.files.groups import FileState, files_of
from contimg.store.jobs import records
from contimg.store.jobs.background import has_live_work, is_held
from contimg.store.jobs.kinds import KINDS, LIVE, LIVE_PRIORITY, Stage, State
from contimg.store.jobs.records import PAUSED, JobRecord, JobRef, StageRunRecord
from contimg.store.tables import record_of


class Jobs(Repository):
    """The queue of jobs."""

    def create(self, kind: str, key: str, *, reference_s: float, processing: str = LIVE) -> JobRecord:
        """Add a pending job. Jobs of live tiles are made when their first file arrives.

        Parameters
        ----------
        kind : name of the kind of job.
        key : what the job works on; the id of the group for a tile.
        reference_s : time of observation, epoch seconds.
        processing : `live`, or the name of a campaign.

        Raises
        ------
        BadInput : the kind, key and processing have a job already.
        """
        now, job = self._database.clock(), tables.Job
        with self._database.write() as session:
            same = select(job.id).where(job.kind == kind, job.key == key, job.processing == processing)
            if session.scalar(same) is not None:
                raise BadInput(f"{kind} {key}: has a job in the processing {processing} already")
            row = records.new_job(KINDS[kind], key, processing, reference_s, State.PENDING, now)
            session.add(row)
            session.flush()
            return record_of(JobRecord, row)

    def job(self, job: JobRef) -> JobRecord | None:
        """Return a job, or None when there is none.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        """
        with self._database.read() as session:
            row = records.find_job(session, job)
            return record_of(JobRecord, row) if row else None

    def runs(self, job: JobRef) -> tuple[StageRunRecord, ...]:
        """Return every attempt at every stage of a job, in order; none for an unknown job.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        """
        run = tables.StageRun
        with self._database.read() as session:
            row = records.find_job(session, job)
            if row is None:
                return ()
            runs = session.scalars(select(run).where(run.job_id == row.id).order_by(run.id))
            return tuple(record_of(StageRunRecord, attempt, group=row.key) for attempt in runs)

    def ended_runs(self, after_s: float, limit: int = 5000) -> tuple[StageRunRecord, ...]:
        """Return the attempts of the stream that ended after a time, in the order in which they ended.

        Parameters
        ----------
        after_s : epoch seconds.
        limit : largest number of attempts; the earliest are returned.
        """
        run, job = tables.StageRun, tables.Job
        of_stream = (run.ended_at > after_s, run.processing == LIVE)
        query = select(run, job.key).join(job, job.id == run.job_id).where(*of_stream)
        with self._database.read() as session:
            rows = session.execute(query.order_by(run.ended_at, run.id).limit(limit))
            return tuple(record_of(StageRunRecord, row, group=key) for row, key in rows)

    def retry(
        self, job: JobRef, *, stage: Stage | None = None, by: str = "an operator", force: bool = False
    ) -> JobRecord:  # fmt: skip
        """Set a job to `pending` with all attempts, at its own stage or an earlier one.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile; failed, discarded or completed.
        stage : where to begin. Without it a failed or discarded job continues where it stopped, and a completed one
            runs from its first stage.
        by : who requests it, for the event.
        force : convert a group again that has fewer subbands than the minimum.

        Returns
        -------
        the job as it is then.

        Raises
        ------
        Incomplete : the group has fewer subbands than the minimum, and `force` is not set.
        BadInput : the job is unknown, queued already, has no files, or has not reached the stage.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = records.require_job(session, job)
            if row.state not in (State.FAILED, State.DISCARDED, State.COMPLETED):
                raise BadInput(f"{row.label}: is {row.state}; only failed, discarded or completed jobs can be retried")
            current = Stage(row.stage)
            start = stage or (current.kind.stages[0] if row.state == State.COMPLETED else current)
            if start.kind is not current.kind:
                raise BadInput(f"{row.label}: has no stage {start}; its stages are {', '.join(current.kind.stages)}")
            if row.state != State.COMPLETED and current.precedes(start):
                raise BadInput(f"{row.label}: {current} comes before {start}; retry from {current}")
            if start is Stage.CONVERT:
                files = files_of(session, row.key, FileState.PRESENT, FileState.LATE)
                self._check_files(row.label, len({file.subband for file in files}), force)
            records.supersede_runs(session, row, start)
            row.stage, row.attempts, row.not_before, row.enqueued_at = start, 0, None, None
            row.error = row.completed_at = None
            records.end_lease(row, State.PENDING, now)
            record_event(
                session, now, INFO, row.key, f"retry from {start} by {by}", author=by, processing=row.processing
            )
            return record_of(JobRecord, row)

    def _check_files(self, label: str, subbands: int, force: bool) -> None:
        """Raise when a group has no file to convert, or too few of them and it is not forced."""
        minimum = self._database.rules.min_subbands
        if not subbands:
            raise BadInput(f"{label}: has no usable file; nothing to convert")
        if subbands < minimum and not force:
            raise Incomplete(
                f"{label}: has {subbands} subbands (CONTIMG_MIN_SUBBANDS={minimum}); its image would lack the others: "
                "copy the missing files there, or force the retry"
            )

    def discard(self, job: JobRef, *, by: str = "an operator") -> JobRecord:
        """Take a job out of the queue; files stay on disk.

        Parameters
        ----------
        job : id of the job, or of the group of a live tile.
        by : who requests it, for the event.

        Returns
        -------
        the job as it is then.

        Raises
        ------
        BadInput : the job is unknown, in progress or completed.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = records.require_job(session, job)
            if row.state in (State.IN_PROGRESS, State.COMPLETED):
                raise BadInput(f"{row.label}: is {row.state}; only waiting or failed jobs can be discarded")
            records.end_lease(row, State.DISCARDED, now)
            row.error = f"discarded by {by}"
            record_event(session, now, WARNING, row.key, row.error, author=by, processing=row.processing)
            return record_of(JobRecord, row)

    def pause(self, by: str) -> None:
        """Let no further stage begin, on any host, until `resume`; stages in progress end as usual.

        Parameters
        ----------
        by : who pauses the stream, for operators.
        """
        self._switch("1", by, "paused")

    def resume(self, by: str) -> None:
        """Let stages begin again; the reconciler sends all pending jobs.

        Parameters
        ----------
        by : who resumes the stream, for operators.
        """
        self._switch("0", by, "resumed")

    @property
    def paused(self) -> bool:
        """Whether the stream is paused."""
        return self.paused_by is not None

    @property
    def paused_by(self) -> str | None:
        """Who has paused the stream; None when nobody has."""
        with self._database.read() as session:
            switch = records.pause_switch(session)
            return (switch.changed_by or "somebody") if switch else None

    def waiting(self, older_than_s: float, limit: int = 100, *, sent_only: bool = False) -> tuple[JobRecord, ...]:
        """Return pending jobs to send, the oldest observation first; none while paused.

        These are the jobs never sent, and those sent so long ago that their message may be lost.

        Parameters
        ----------
        older_than_s : jobs sent longer ago than this are included, seconds.
        limit : largest number of jobs.
        sent_only : leave out jobs that were never sent.
        """
        now, job = self._database.clock(), tables.Job
        sent = job.enqueued_at <= now - older_than_s
        query = (
            select(job)
            .where(_is_due(now), sent if sent_only else or_(job.enqueued_at.is_(None), sent))
            .order_by(job.reference_s)
            .limit(limit)
        )
        if self.paused:
            return ()
        return self._fetch(JobRecord, query)

    def take_unsent(
        self,
        max_in_flight: int,
        order: Callable[[Sequence[JobRecord]], Sequence[JobRecord]],
        *,
        newest_first: bool = True,
        look_ahead: int = 1000,
        max_campaign_jobs: int = 1,
    ) -> tuple[JobRecord, ...]:
        """Take the first pending jobs that were not sent, and count them as sent; none is taken while paused.

        Jobs of campaigns are taken only while no job of the stream waits or is in progress. A caller that cannot send a
        job calls `mark_unsent`.

        Parameters
        ----------
        max_in_flight : largest number of jobs of the stream that are then sent or in progress.
        order : puts the jobs that it is called with in the order in which they are taken.
        newest_first : among jobs of one priority, whether the latest observation comes first.
        look_ahead : `order` is called with this number of jobs, the first by priority and time of observation.
        max_campaign_jobs : largest number of jobs of campaigns that are then sent or in progress.

        Returns
        -------
        the jobs to send, in order.
        """
        now = self._database.clock()
        limits = {True: max_in_flight, False: max_campaign_jobs}
        with self._database.read() as session:
            is_live = _has_slot(session, now, limits)
        if is_live is None or self.paused:
            return ()
        with self._database.write() as session:
            if not is_live and has_live_work(session, now):
                return ()
            slots = max(0, _free_slots(session, limits[is_live], is_live))
            jobs = tuple(order(_unsent(session, now, newest_first, max(look_ahead, slots), is_live))[:slots])
            _set_enqueued(session, [job.id for job in jobs], now, _is_due(now))
            return jobs

    def mark_unsent(self, jobs: Iterable[int]) -> None:
        """Record that no message could be sent for some jobs; those that are pending are then taken again.

        Parameters
        ----------
        jobs : ids of the jobs.
        """
        ids = list(jobs)
        if ids:
            with self._database.write() as session:
                _set_enqueued(session, ids, None, tables.Job.state == State.PENDING)

    def _switch(self, value: str, by: str, word: str) -> None:
        now = self._database.clock()
        with self._database.write() as session:
            session.merge(tables.Control(key=PAUSED, value=value, changed_at=now, changed_by=by))
            if value == "0":
                # Messages that came during the pause were refused and are gone.
                pending = update(tables.Job).where(tables.Job.state == State.PENDING)
                session.execute(pending.values(enqueued_at=None))
            record_event(session, now, INFO, None, f"{word} by {by}", author=by)


def _is_due(now: float) -> ColumnElement[bool]:
    """The condition of pending jobs that messages are sent for and whose delay after an error, if any, is over."""
    job = tables.Job
    return (job.state == State.PENDING) & _is_sent() & or_(job.not_before.is_(None), job.not_before <= now)


def _is_sent() -> ColumnElement[bool]:
    return and_(*(tables.Job.kind != kind.name for kind in KINDS.values() if not kind.is_sent))


def _has_slot(session: Session, now: float, limits: Mapping[bool, int]) -> bool | None:
    """Whether the next jobs to send are of the stream (True) or of campaigns (False); None when none may be sent."""
    if _unsent(session, now, True, 1, True):
        return True if _free_slots(session, limits[True], True) > 0 else None
    if has_live_work(session, now) or not _unsent(session, now, True, 1, False):
        return None
    return False if _free_slots(session, limits[False], False) > 0 else None


def _is_live(is_live: bool) -> ColumnElement[bool]:
    """The condition of jobs of the stream, or of campaigns, by their priority, which the index has."""
    priority = tables.Job.priority
    return priority <= LIVE_PRIORITY if is_live else priority > LIVE_PRIORITY


def _unsent(session: Session, now: float, newest_first: bool, limit: int, is_live: bool) -> list[JobRecord]:
    """Due jobs that were not sent, by priority and then time of observation; without those of held campaigns.

    One query for each priority: SQLite would sort all of them to order two columns in different directions.
    """
    job = tables.Job
    unsent = [_is_due(now), job.enqueued_at.is_(None)]
    unsent += [] if is_live else [not_(is_held())]
    # All have no `enqueued_at`: it is named for PostgreSQL, which then reads them in the index's own order.
    keys = (job.enqueued_at, job.priority, job.reference_s)
    first: list[JobRecord] = []
    priority = -1
    while len(first) < limit:
        higher = (
            select(job.priority).where(*unsent, _is_live(is_live), job.priority > priority).order_by(*keys[:2]).limit(1)
        )
        following = session.scalar(higher)
        if following is None:
            break
        priority = following
        query = select(job).where(*unsent, job.priority == priority).limit(limit - len(first))
        rows = session.scalars(query.order_by(*(key.desc() if newest_first else key.asc() for key in keys)))
        first += [record_of(JobRecord, row) for row in rows]
    return first


def _set_enqueued(session: Session, jobs: Sequence[int], at: float | None, condition: ColumnElement[bool]) -> None:
    """Set when jobs were sent, as far as the condition holds.

    One by one: given a list of ids and a state SQLite may walk through all jobs of that state.
    """
    job = tables.Job
    statement = update(job).where(job.id == bindparam("job"), condition).values(enqueued_at=at)
    if jobs:
        session.connection().execute(statement, [{"job": job_id} for job_id in jobs])


def _free_slots(session: Session, max_in_flight: int, is_live: bool) -> int:
    """How many more jobs of the stream, or of campaigns, may be sent."""
    job = tables.Job
    # A comparison, not "is not null": that one SQLite does not look up in an index.
    sent = (job.state == State.PENDING) & (job.enqueued_at >= 0)
    in_progress, of_kind = job.state == State.IN_PROGRESS, (_is_live(is_live), _is_sent())
    return max_in_flight - count(session, job, in_progress, *of_kind) - count(session, job, sent, *of_kind)
