"""Epochs of the store: opened by the images of their tiles, made ready, reopened, requested.

An epoch's job is `collecting` until its window has closed and each tile in it is imaged, failed or absent. It is opened
in the transaction that commits a tile's image and decided from the store alone, so that a restart, an outage or a
reprocessing gives the same epochs. An image that is committed later reopens it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.common.units import number_of
from contimg.epoch.windows import Window, strip_of_key, strip_of_tile
from contimg.formats.records import NO_UNIT, Page, about, page_key
from contimg.instrument.time import mjd_to_unix
from contimg.quality.grades import BAD
from contimg.settings import QueueRules
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository, count, order_by_key
from contimg.store.epochs.mosaics import EpochKey, EpochTile
from contimg.store.epochs.tiles import (
    UNDECIDED,
    find_retired_tiles,
    find_tiles,
    find_waiting_tiles,
    has_new_tiles,
    has_passed,
    is_outdated,
    windows_of,
)
from contimg.store.jobs import records
from contimg.store.jobs.kinds import EPOCH, LIVE, Stage, State
from contimg.store.jobs.records import JobProgress, JobRecord
from contimg.store.tables import record_of

MIN_TILES = 2  # of a mosaic that is made without a request


@dataclass(frozen=True, kw_only=True)
class EpochRecord(JobProgress):
    """An epoch: a sidereal window of a declination strip on one day, with its job. Times are epoch seconds."""

    id: EpochKey
    job_id: Annotated[int, about("Number of its job in the store", NO_UNIT, 171)]
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")]
    window_start_at: Annotated[float, about("Beginning of its window")]
    window_end_at: Annotated[float, about("End of its window")]
    lst_h: Annotated[float, about("Local sidereal time of the window's beginning", "h", 1.5)]
    declination_deg: Annotated[float, about("Apparent declination of the strip", "deg", 16.3)]
    tiles: Annotated[tuple[EpochTile, ...], about("Tile images in its window, in order of observation")]
    waiting_tiles: Annotated[
        tuple[str, ...], about("Groups in its window that are not processed yet", example=["2026-02-22T03:14:23"])
    ]
    mosaic_id: Annotated[int | None, about("Number of its mosaic in the store; null before", NO_UNIT, 3)]
    grade: Annotated[str | None, about("QA grade of its mosaic; null before", example="good")]

    @property
    def tile_count(self) -> Annotated[int, about("Tile images in its window", "images", 12)]:
        """Number of tile images in its window."""
        return len(self.tiles)


@dataclass(frozen=True)
class EpochNeighbours:
    """Keys of the epochs of the same strip beside one: the windows before and after, and its window on other days.

    None where there is none.
    """

    window_before: str | None
    window_after: str | None
    day_before: str | None
    day_after: str | None


@dataclass(frozen=True, kw_only=True)
class EpochList(Page):
    """Epochs, the latest observed first."""

    epochs: Annotated[tuple[EpochRecord, ...], about("Epochs, the latest observed first")]


def open_epochs(session: Session, tile: tables.Job, rules: QueueRules, now: float) -> None:
    """Open the epochs of a tile whose image is committed, and reopen those that were made without this image.

    Parameters
    ----------
    session : of the commit.
    tile : job of the tile.
    rules : with the windows.
    now : epoch seconds.
    """
    image = session.scalar(select(tables.Image).where(tables.Image.job_id == tile.id))
    if image is None or not rules.epochs:
        return
    observed_s = mjd_to_unix(image.mjd)
    strip = strip_of_tile(image.ra_deg, image.dec_deg, observed_s)
    for window in windows_of(rules).containing(observed_s):
        job = _epoch_job(session, window, strip, tile.processing, now)
        if job.state not in UNDECIDED:
            _reopen(session, job, now, f"reopened: {tile.key} was imaged")


def settle(session: Session, job: tables.Job, rules: QueueRules, now: float) -> None:
    """Reopen an epoch whose measurements are committed if a tile was imaged since its mosaic's stage began.

    Parameters
    ----------
    session : of the commit, after the last stage's rows were written.
    job : of the epoch.
    rules : with the windows.
    now : epoch seconds.
    """
    if has_new_tiles(session, job, rules):
        _reopen(session, job, now, "reopened: a tile was imaged while the epoch was processed")


class Epochs(Repository):
    """The epochs of the store."""

    def collect(self) -> tuple[str, ...]:
        """Make the epochs pending that wait for nothing, and return their keys.

        An epoch with fewer than two usable tile images is discarded; another image reopens it, and an operator can
        retry it.
        """
        job = tables.Job
        collecting = select(job.id).where(job.state == State.COLLECTING, job.kind == EPOCH.name)
        ready = []
        with self._database.read() as session:
            ids = [
                job_id
                for job_id in session.scalars(collecting.order_by(job.reference_s))
                if self._decide(session, session.get_one(job, job_id)) is not None
            ]
        for job_id in ids:
            with self._database.write() as session:
                row = records.find_job(session, job_id, lock=True)
                if row is None or row.state != State.COLLECTING:
                    continue
                state, now = self._decide(session, row), self._database.clock()
                if state is None:
                    continue
                row.state, row.updated_at = state, now
                if state is State.PENDING:
                    ready.append(row.key)
                    tiles = number_of(len(find_tiles(session, row, self._database.rules)), "tile image")
                    record_event(session, now, INFO, row.key, f"ready: {tiles}", processing=row.processing)
                elif state is State.DISCARDED:
                    row.error = f"fewer than {MIN_TILES} usable tile images; `contimg epochs retry {row.key}` makes it"
                else:
                    row.completed_at = now
                    if retired := find_retired_tiles(session, row, self._database.rules):
                        text = f"{number_of(len(retired), 'tile image')} of its mosaic were retired: the mosaic stays"
                        text = f"{text}; `contimg epochs retry {row.key}` makes it"
                        record_event(session, now, INFO, row.key, text, processing=row.processing)
        return tuple(ready)

    def request(
        self, since_mjd: float, until_mjd: float, declination_deg: float | None = None, *, by: str = "an operator"
    ) -> tuple[JobRecord, ...]:
        """Make the epochs of the tile images in the store pending: those without a mosaic of just these images.

        Parameters
        ----------
        since_mjd, until_mjd : limits of the middle of the tiles' observation, days, UTC; the second is excluded.
        declination_deg : only the strip of this apparent declination, degrees; None for all.
        by : who requests it, for the event.

        Returns
        -------
        the jobs, in order of observation.
        """
        now, rules, image = self._database.clock(), self._database.rules, tables.Image
        in_span = (image.mjd >= since_mjd, image.mjd < until_mjd, image.processing == LIVE)
        jobs: dict[str, tables.Job] = {}
        with self._database.write() as session:
            for row in session.scalars(select(image).where(*in_span).order_by(image.mjd)):
                observed_s = mjd_to_unix(row.mjd)
                strip = strip_of_tile(row.ra_deg, row.dec_deg, observed_s)
                if declination_deg is not None and abs(strip / 10 - declination_deg) > 0.051:
                    continue
                for window in windows_of(rules).containing(observed_s):
                    jobs[window.key(strip)] = _epoch_job(session, window, strip, LIVE, now)
            requested = []
            for job in sorted(jobs.values(), key=lambda job: (job.reference_s, job.key)):
                if job.state in (State.PENDING, State.IN_PROGRESS) or not is_outdated(session, job, rules):
                    continue
                _reopen(session, job, now, f"requested by {by}", by)
                job.state = State.PENDING
                requested.append(record_of(JobRecord, job))
            return tuple(requested)

    def epoch(self, key: str, processing: str = LIVE) -> EpochRecord:
        """Return an epoch by its key.

        Parameters
        ----------
        key : `2026-02-22_L0130_D+163`.
        processing : `live`, or the name of a campaign.

        Raises
        ------
        BadInput : it is not in the store.
        """
        job = tables.Job
        query = select(job).where(job.kind == EPOCH.name, job.key == key[:32], job.processing == processing)
        with self._database.read() as session:
            row = session.scalar(query)
            if row is None:
                raise BadInput(f"epoch {key[:40]}: not in the store; `contimg epochs list` shows those that are")
            return self._record(session, row)

    def list_epochs(
        self, limit: int = 20, *, state: State | None = None, states: Sequence[State] = (),
        since_s: float | None = None, until_s: float | None = None, after: tuple[float, str] | None = None,
        processing: str = LIVE,
    ) -> EpochList:  # fmt: skip
        """Return a page of the epochs, the latest observed first.

        Parameters
        ----------
        limit : largest number of epochs.
        state : of their jobs; None for all.
        states : any of these states; empty for all.
        since_s, until_s : limits of the windows' beginnings, epoch seconds; the second is excluded.
        after : beginning of the window and key of the last epoch of the page before.
        processing : `live`, or the name of a campaign.
        """
        job = tables.Job
        conditions = [job.kind == EPOCH.name, job.processing == processing]
        conditions += [] if state is None else [job.state == state]
        conditions += [job.state.in_(states)] if states else []
        conditions += [] if since_s is None else [job.reference_s >= since_s]
        conditions += [] if until_s is None else [job.reference_s < until_s]
        query = order_by_key(select(job).where(*conditions), job.reference_s, job.key, False, after).limit(limit + 1)
        with self._database.read() as session:
            rows = list(session.scalars(query))
            last = rows[limit - 1] if len(rows) > limit else None
            return EpochList(
                epochs=tuple(self._record(session, row) for row in rows[:limit]),
                total=count(session, job, *conditions),
                next=page_key(last.reference_s, last.key) if last else None,
            )

    def tiles(self, job_id: int) -> tuple[EpochTile, ...]:
        """Return the tile images of an epoch, in order of observation: what its mosaic is made from.

        Parameters
        ----------
        job_id : id of the epoch's job.
        """
        with self._database.read() as session:
            return find_tiles(session, session.get_one(tables.Job, job_id), self._database.rules)

    def neighbours(self, epoch: EpochRecord) -> EpochNeighbours:
        """Return the nearest epochs of the same strip in time, and with the same window on other days.

        Parameters
        ----------
        epoch : an epoch of the store.
        """
        job, (_, lst, strip) = tables.Job, epoch.id.split("_")
        with self._database.read() as session:

            def find(ending: str, is_later: bool) -> str | None:
                time = job.reference_s
                beside = time > epoch.window_start_at + 60 if is_later else time < epoch.window_start_at - 60
                query = select(job.key).where(
                    job.kind == EPOCH.name, job.processing == epoch.processing, beside,
                    job.key.endswith(ending, autoescape=True),
                )  # fmt: skip
                return session.scalar(query.order_by(time if is_later else time.desc()).limit(1))

            of_strip, of_window = f"_{strip}", f"_{lst}_{strip}"
            return EpochNeighbours(find(of_strip, False), find(of_strip, True), find(of_window, False),
                                   find(of_window, True))  # fmt: skip

    def _record(self, session: Session, job: tables.Job) -> EpochRecord:
        rules, row = self._database.rules, tables.MosaicRow
        window = windows_of(rules).starting_at(job.reference_s)
        mosaic = session.execute(select(row.id, row.verdict).where(row.job_id == job.id)).first()
        return record_of(
            EpochRecord,
            job,
            id=job.key,
            job_id=job.id,
            window_start_at=window.start_s,
            window_end_at=window.end_s,
            lst_h=window.lst_min / 60,
            declination_deg=(strip_of_key(job.key) or 0) / 10,
            tiles=find_tiles(session, job, rules),
            waiting_tiles=find_waiting_tiles(session, job, rules),
            mosaic_id=mosaic[0] if mosaic else None,
            grade=mosaic[1] if mosaic else None,
        )

    def _decide(self, session: Session, job: tables.Job) -> State | None:
        """The next state of an epoch that collects; None while it waits."""
        now, rules = self._database.clock(), self._database.rules
        window = windows_of(rules).starting_at(job.reference_s)
        if now < window.end_s or not has_passed(session, job, window, rules, now):
            return None
        waiting = find_waiting_tiles(session, job, rules)
        if waiting and job.processing != LIVE:  # a campaign may be paused for days
            return None
        if waiting and now - max(window.end_s, min(now, job.updated_at)) < rules.epoch_wait_s:
            return None
        if not is_outdated(session, job, rules):
            return State.COMPLETED
        usable = sum(tile.grade != BAD for tile in find_tiles(session, job, rules))
        if usable < MIN_TILES:
            return None if waiting else State.DISCARDED
        return State.PENDING


def wanted_images(session: Session, rules: QueueRules) -> set[int]:
    """Return the ids of the images that an epoch without its mosaic needs.

    Parameters
    ----------
    session : of the caller's transaction.
    rules : with the windows.
    """
    job = tables.Job
    jobs = session.scalars(select(job).where(job.state.in_(UNDECIDED), job.kind == EPOCH.name))
    return {tile.image_id for job in jobs for tile in find_tiles(session, job, rules)}


def _epoch_job(session: Session, window: Window, strip: int, processing: str, now: float) -> tables.Job:
    """The locked job of an epoch, made if there is none."""
    job, key = tables.Job, window.key(strip)
    query = select(job).where(job.kind == EPOCH.name, job.key == key, job.processing == processing).with_for_update()
    row = session.scalar(query)
    if row is None:
        try:
            with session.begin_nested():  # another worker may open it at this moment
                row = records.new_job(EPOCH, key, processing, window.start_s, State.COLLECTING, now)
                session.add(row)
        except IntegrityError:
            row = session.scalars(query).one()
    return row


def _reopen(session: Session, job: tables.Job, now: float, text: str, author: str | None = None) -> None:
    records.supersede_runs(session, job, Stage.MOSAIC)
    records.end_lease(job, State.COLLECTING, now)
    job.stage, job.attempts = Stage.MOSAIC, 0
    job.not_before = job.enqueued_at = job.error = job.completed_at = None
    record_event(session, now, INFO, job.key, text, author=author, processing=job.processing)
