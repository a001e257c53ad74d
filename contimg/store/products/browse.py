"""Pages of groups, images and events; each page is found by an index, however many rows precede it.

A page is requested by the key of the last row of the page before, not by number: the thousandth costs as much as the
first.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from contimg.store import tables
from contimg.store.activity.events import EventRecord
from contimg.store.database import Database
from contimg.store.files.groups import GroupRecord, group_records, groups_with_jobs
from contimg.store.jobs.kinds import State
from contimg.store.products.products import StoredImage
from contimg.store.tables import record_of


class GroupOrder(StrEnum):
    """By what a table of groups is sorted."""

    OBSERVED = "observed"
    UPDATED = "updated"


@dataclass(frozen=True)
class GroupFilter:
    """Which groups; `since_s` to `until_s` is the time of observation, epoch seconds."""

    state: State | None = None
    partial: bool = False
    since_s: float | None = None
    until_s: float | None = None


@dataclass(frozen=True)
class ObservedTile:
    """An image as one mark on a chart or on the sky: its numbers without its files and sources.

    `flux_ratio`: measured over catalogued flux, the median of the sources that were matched.
    """

    id: int
    group: str
    mjd: float
    ra_deg: float
    dec_deg: float
    rms_jy: float
    peak_jy: float
    verdict: str | None
    calibrated: bool
    flux_ratio: float | None
    flagged_fraction: float | None


class Browse:
    """Groups, images and events, page by page."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def groups(
        self,
        wanted: GroupFilter,
        order: GroupOrder = GroupOrder.OBSERVED,
        *,
        ascending: bool = False,
        after: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> tuple[GroupRecord, ...]:
        """Groups that come `after` a key (value of the order's column, id) in this order; from the first without."""
        job = tables.Job
        column = {GroupOrder.OBSERVED: job.reference_s, GroupOrder.UPDATED: job.updated_at}[order]
        query = _by_key(groups_with_jobs(), column, job.key, ascending, after).limit(limit)
        for condition in _conditions(wanted):
            query = query.where(condition)
        with self._database.read() as session:
            return group_records(session, query)

    def images(
        self, *, verdict: str | None = None, before: tuple[float, int] | None = None, limit: int = 48
    ) -> tuple[StoredImage, ...]:
        """Images observed before a key (mjd, id), the latest first; of one verdict if asked."""
        image = tables.Image
        query = _by_key(select(image), image.mjd, image.id, False, before).limit(limit)
        if verdict is not None:
            query = query.where(image.verdict == verdict)
        with self._database.read() as session:
            return tuple(record_of(StoredImage, row) for row in session.scalars(query))

    def neighbours(self, image_id: int, mjd: float) -> tuple[int | None, int | None]:
        """The images observed just before and just after one."""
        image, key = tables.Image, (mjd, image_id)
        before = _by_key(select(image.id), image.mjd, image.id, False, key).limit(1)
        after = _by_key(select(image.id), image.mjd, image.id, True, key).limit(1)
        with self._database.read() as session:
            return session.scalar(before), session.scalar(after)

    def tiles(self, since_mjd: float, until_mjd: float, limit: int = 3000) -> tuple[ObservedTile, ...]:
        """Every image observed between two times, in order; the latest `limit` of them."""
        image, made = tables.Image, tables.MeasurementSet
        query = (
            select(
                image.id, image.group_id, image.mjd, image.ra_deg, image.dec_deg, image.rms_jy, image.peak_jy,
                image.verdict, image.calibration_set.is_not(None), image.catalogue_flux_ratio, made.flagged_fraction,
            )
            .outerjoin(made, made.job_id == image.job_id)
            .where(image.mjd >= since_mjd, image.mjd < until_mjd)
            .order_by(image.mjd.desc())
            .limit(limit)
        )  # fmt: skip
        with self._database.read() as session:
            return tuple(reversed([ObservedTile(*cast(tuple[Any, ...], row)) for row in session.execute(query)]))

    def events(
        self, *, level: str | None = None, group: str | None = None, before: int | None = None, limit: int = 100
    ) -> tuple[EventRecord, ...]:
        """Events older than an id, the newest first, of one level or one group if asked."""
        event = tables.Event
        query = select(event).order_by(event.id.desc()).limit(limit)
        if before is not None:
            query = query.where(event.id < before)
        if level is not None:
            query = query.where(event.level == level)
        if group is not None:
            query = query.where(event.group_id == group)
        with self._database.read() as session:
            return tuple(record_of(EventRecord, row) for row in session.scalars(query))


def _by_key(
    query: Any,
    column: InstrumentedAttribute[float],
    identity: InstrumentedAttribute[Any],
    ascending: bool,
    key: tuple[Any, ...] | None,
) -> Any:
    both = tuple_(column, identity)
    if key is not None:
        query = query.where(both > tuple_(*key) if ascending else both < tuple_(*key))
    return query.order_by(*(one.asc() if ascending else one.desc() for one in (column, identity)))


def _conditions(wanted: GroupFilter) -> list[ColumnElement[bool]]:
    group, job, conditions = tables.Group, tables.Job, []
    if wanted.state is not None:
        conditions.append(job.state == wanted.state)
    if wanted.partial:
        conditions.append(group.partial == True)  # noqa: E712 (SQL)
    if wanted.since_s is not None:
        conditions.append(job.reference_s >= wanted.since_s)
    if wanted.until_s is not None:
        conditions.append(job.reference_s < wanted.until_s)
    return conditions
