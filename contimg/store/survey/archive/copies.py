"""The archive in the store: places, copies of files, and the jobs that make them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import ColumnElement, Select, and_, func, insert, literal, or_, select
from sqlalchemy.orm import Session

from contimg.common.units import parse_moment
from contimg.formats.records import about
from contimg.settings.alerts import ERROR
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.jobs import records
from contimg.store.jobs.kinds import ARCHIVE, LIVE, State
from contimg.store.jobs.records import JobRecord
from contimg.store.survey.archive.product_files import CopyState, LocalState, StoredFile
from contimg.store.tables import record_of

RULE = "archive"
FRESH_S = 1800.0  # a place that was not checked for longer does not count as available
AVAILABLE, AWAY = "available", "away"
_UNFINISHED = (CopyState.PENDING, CopyState.COPIED, CopyState.MISSING, CopyState.CORRUPT)
_BATCH = 500
_PLANNED, _PLAN_MARGIN_S = "archive.planned", 7 * 86400.0  # jobs of files of the last week may not have ended before


@dataclass(frozen=True, kw_only=True)
class PlaceState:
    """A place as it was last checked."""

    name: Annotated[str, about("Name of the place", example="vault")]
    state: Annotated[str, about("available or away", example="available")]
    error: Annotated[str | None, about("Why it is away", example="/mnt/vault: .contimg-archive is missing")]
    since: Annotated[float, about("Since when, seconds since 1970, UTC", "s", 1771729760.0)]
    checked_at: Annotated[float, about("When it was last checked")]

    @property
    def changed_at(self) -> Annotated[float, about("Since when it is available or away")]:
        """Since when it is available or away, epoch seconds."""
        return self.since


@dataclass(frozen=True)
class FileCopy:
    """A file and the state of its copy in a place."""

    file: StoredFile
    place: str
    state: CopyState


class Archive(Repository):
    """Copies of products in other places."""

    def record_place(self, name: str, problem: str | None) -> None:
        """Record that a place was checked.

        Parameters
        ----------
        name : of the place.
        problem : why it is away; None while it is available.
        """
        now, place = self._database.clock(), tables.ArchivePlaceRow
        state = AWAY if problem else AVAILABLE
        with self._database.write() as session:
            row = session.scalar(select(place).where(place.name == name).with_for_update())
            row = row or place(name=name, state="", since=now)
            if row.state != state:
                row.state, row.since = state, now
            row.error, row.checked_at = problem, now
            session.add(row)

    def places(self) -> Mapping[str, PlaceState]:
        """Return the places that were ever checked, by name."""
        with self._database.read() as session:
            rows = session.scalars(select(tables.ArchivePlaceRow).order_by(tables.ArchivePlaceRow.name))
            return {row.name: record_of(PlaceState, row) for row in rows}

    def plan(self, place: str, kinds: Sequence[str], retry_after_s: float) -> int:
        """Register the copies that a place lacks, and make a job pending for each night that has copies to make.

        Parameters
        ----------
        place : name of the place.
        kinds : kinds of products that are copied there.
        retry_after_s : time after which a failed job is made pending again, s.

        Returns
        -------
        the number of jobs that were made pending.
        """
        now = self._database.clock()
        file, copy, job = tables.ProductFile, tables.ArchiveCopy, tables.Job
        with self._database.write() as session:
            _add_copies(session, place, kinds, now)
            unfinished = select(copy.night).join(file, file.id == copy.file_id).outerjoin(job, job.id == file.job_id)
            unfinished = unfinished.where(
                copy.place == place, copy.state.in_(_UNFINISHED), or_(copy.state == CopyState.COPIED, _is_ready())
            )
            nights = session.scalars(unfinished.distinct()).all()
            return sum(_open_job(session, f"{place}/{night}", now, retry_after_s) for night in nights)

    def due_jobs(self, places: Iterable[str]) -> tuple[JobRecord, ...]:
        """Return the pending jobs of some places whose delay is over, the latest night first.

        Parameters
        ----------
        places : names of places.
        """
        now, job = self._database.clock(), tables.Job
        due = job.kind == ARCHIVE.name, job.state == State.PENDING, or_(job.not_before.is_(None), job.not_before <= now)
        query = select(job).where(*due).order_by(job.reference_s.desc(), job.key)
        names = set(places)
        return tuple(work for work in self._fetch(JobRecord, query) if work.key.partition("/")[0] in names)

    def failed_jobs(self) -> tuple[JobRecord, ...]:
        """Return the jobs of the archive that have failed, the latest night first."""
        job = tables.Job
        failed = select(job).where(job.state == State.FAILED, job.kind == ARCHIVE.name)
        return self._fetch(JobRecord, failed.order_by(job.reference_s.desc()))

    def copies(
        self, place: str, night: str, states: Iterable[CopyState], *, after: int = 0
    ) -> tuple[FileCopy, ...]:  # fmt: skip
        """Return copies of a night in a place, at most some hundreds, in the order of their files' numbers.

        Copies still to be made are left out while a stage may change their file.

        Parameters
        ----------
        place, night : name of the place, and UTC date of the observation.
        states : states of the copies.
        after : only files with a higher number.
        """
        copy = tables.ArchiveCopy
        conditions = copy.place == place, copy.night == night, copy.state.in_(list(states)), copy.file_id > after
        query = _with_files().outerjoin(tables.Job, tables.Job.id == tables.ProductFile.job_id)
        ready = or_(copy.state == CopyState.COPIED, _is_ready())
        return self._copies(query.where(*conditions, ready).order_by(copy.file_id).limit(_BATCH))

    def oldest_verified(self, place: str, before: float, limit: int) -> tuple[FileCopy, ...]:
        """Return the verified copies of a place that were read back longest ago.

        Parameters
        ----------
        place : name of the place.
        before : those read back before this time, epoch seconds.
        limit : largest number of copies.
        """
        copy = tables.ArchiveCopy
        old = copy.place == place, copy.state == CopyState.VERIFIED, copy.verified_at < before
        return self._copies(_with_files().where(*old).order_by(copy.verified_at).limit(limit))

    def oldest_checked(self, before: float, limit: int) -> tuple[StoredFile, ...]:
        """Return the local files that were read longest ago, of those that have a checksum.

        Parameters
        ----------
        before : those read before this time, epoch seconds.
        limit : largest number of files.
        """
        file = tables.ProductFile
        old = file.state == LocalState.PRESENT, file.sha256.is_not(None), file.checked_at < before
        return self._fetch(StoredFile, select(file).where(*old).order_by(file.checked_at).limit(limit))

    def files(
        self, since: str = "", until: str = "", kinds: Sequence[str] = (), *, after: int = 0
    ) -> tuple[StoredFile, ...]:  # fmt: skip
        """Return files, at most some hundreds, in the order of their numbers.

        Parameters
        ----------
        since, until : first and last night, UTC dates; empty for no limit.
        kinds : kinds of products; empty for all.
        after : only files with a higher number.
        """
        file = tables.ProductFile
        conditions: list[ColumnElement[bool]] = [file.id > after]
        conditions += [file.night >= since] if since else []
        conditions += [file.night <= until] if until else []
        conditions += [file.kind.in_(kinds)] if kinds else []
        return self._fetch(StoredFile, select(file).where(*conditions).order_by(file.id).limit(_BATCH))

    def copies_of(self, file_id: int) -> tuple[FileCopy, ...]:
        """Return the copies of a file, whatever their state.

        Parameters
        ----------
        file_id : number of the file.
        """
        return self._copies(_with_files().where(tables.ArchiveCopy.file_id == file_id))

    def record_copy(
        self, copied: FileCopy, state: CopyState, *, sha256: str | None = None, error: str | None = None
    ) -> bool:
        """Record what became of a copy.

        Parameters
        ----------
        copied : as it was read from the store.
        state : its state now.
        sha256 : what was read: for `copied` in the source, for `verified` and `corrupt` in the place.
        error : what is wrong with a copy that is missing or corrupt, which is recorded as an event.

        Returns
        -------
        False, with nothing recorded, when the file has another checksum by now.
        """
        now, copy = self._database.clock(), tables.ArchiveCopy
        with self._database.write() as session:
            file = session.get(tables.ProductFile, copied.file.id, with_for_update=True)
            row = session.scalar(select(copy).where(copy.file_id == copied.file.id, copy.place == copied.place))
            if file is None or row is None or file.sha256 != copied.file.sha256:
                return False
            if state == CopyState.COPIED:
                file.sha256, file.checked_at, row.copied_at = sha256, now, now
            elif state == CopyState.VERIFIED:
                row.verified_at = now
            if error and row.error != error:
                text = f"archive: {copied.file.name} in {copied.place} is {state}: {error}"
                record_event(session, now, ERROR, None, text, RULE)
            row.state, row.sha256, row.error = state, sha256, error
            return True

    def record_local(self, file: StoredFile, state: LocalState, error: str | None = None) -> bool:
        """Record what a local file was found to be.

        Parameters
        ----------
        file : as it was read from the store.
        state : its state now.
        error : what is wrong with it, which is recorded as an event.

        Returns
        -------
        False, with nothing recorded, when the file has another checksum by now.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = session.get(tables.ProductFile, file.id, with_for_update=True)
            if row is None or row.sha256 != file.sha256 or row.state == LocalState.RETIRED:
                return False
            if error and row.error != error:
                record_event(session, now, ERROR, None, f"archive: {file.path} is {state}: {error}", RULE)
            row.state, row.error, row.checked_at = state, error, now
            return True

    def _copies(self, query: Select[tables.ArchiveCopy, tables.ProductFile]) -> tuple[FileCopy, ...]:
        with self._database.read() as session:
            return tuple(
                FileCopy(record_of(StoredFile, file), copy.place, CopyState(copy.state))
                for copy, file in session.execute(query)
            )


def _with_files() -> Select[tables.ArchiveCopy, tables.ProductFile]:
    copy, file = tables.ArchiveCopy, tables.ProductFile
    return select(copy, file).join(file, file.id == copy.file_id)


def _is_ready() -> ColumnElement[bool]:
    """The condition of files that are there and that no stage of their job will change."""
    file, job = tables.ProductFile, tables.Job
    return and_(file.state == LocalState.PRESENT, or_(file.job_id.is_(None), job.state == State.COMPLETED))


def _add_copies(session: Session, place: str, kinds: Sequence[str], now: float) -> None:
    """Register the copies that a place lacks, of files whose job is completed."""
    file, copy, job = tables.ProductFile, tables.ArchiveCopy, tables.Job
    key = f"beat.{_PLANNED}.{place}"
    planned = session.get(tables.Control, key)
    value = " ".join(kinds)
    since = planned.changed_at - _PLAN_MARGIN_S if planned is not None and planned.value == value else 0.0
    lacking = (
        select(file.id, literal(place), file.night, literal(CopyState.PENDING.value))
        .outerjoin(job, job.id == file.job_id)
        .outerjoin(copy, and_(copy.file_id == file.id, copy.place == place))
        .where(
            file.created_at >= since, file.kind.in_(kinds), copy.id.is_(None), _is_ready(),
        )
    )  # fmt: skip
    session.execute(insert(copy).from_select(["file_id", "place", "night", "state"], lacking))
    session.merge(tables.Control(key=key, value=value, changed_at=now))


def _open_job(session: Session, key: str, now: float, retry_after_s: float) -> bool:
    """Make the job of a night in a place pending, unless it is already; return whether it was made so."""
    job = tables.Job
    query = select(job).where(job.kind == ARCHIVE.name, job.key == key, job.processing == LIVE)
    row = session.scalar(query.with_for_update())
    if row is None:
        reference_s = parse_moment(f"{key.partition('/')[2]}T00:00:00Z", now)
        session.add(records.new_job(ARCHIVE, key, LIVE, reference_s, State.PENDING, now))
        return True
    if row.state == State.FAILED and row.updated_at > now - retry_after_s:
        return False
    if row.state not in (State.COMPLETED, State.FAILED):
        return False
    start = ARCHIVE.stages[0]
    records.supersede_runs(session, row, start)
    row.stage, row.attempts, row.not_before, row.error, row.completed_at = start, 0, None, None, None
    row.state, row.created_at, row.updated_at = State.PENDING, now, now
    return True


def verified_counts(session: Session, paths: Sequence[str], now: float) -> Mapping[str, int]:
    """Count the available places in which files have a verified copy.

    Parameters
    ----------
    session : of the caller's transaction.
    paths : of the files; one that is not registered, or whose copies have another checksum, has no count.
    now : epoch seconds; a place that was not checked in the `FRESH_S` before does not count.
    """
    file, copy, place = tables.ProductFile, tables.ArchiveCopy, tables.ArchivePlaceRow
    query = (
        select(file.path, func.count())
        .join(copy, copy.file_id == file.id)
        .join(place, place.name == copy.place)
        .where(
            file.path.in_(paths), copy.state == CopyState.VERIFIED, copy.sha256 == file.sha256,
            place.state == AVAILABLE, place.checked_at >= now - FRESH_S,
        )
        .group_by(file.path)
    )  # fmt: skip
    return {path: number for path, number in session.execute(query)}
