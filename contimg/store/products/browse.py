"""Looking through a store that has grown for years: every page is found by an index, whatever has gone before.

Pages are asked for by key (what the last row of the page before had), never by number: the thousandth costs as much
as the first.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from contimg.store import tables as models
from contimg.store.database import Database
from contimg.store.jobs.queue import group_records
from contimg.store.products.products import StoredImage
from contimg.store.records import EventRecord, GroupRecord, StageRunRecord, State, record_of


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
        group = models.Group
        column = {GroupOrder.OBSERVED: group.reference_s, GroupOrder.UPDATED: group.updated_at}[order]
        query = _by_key(select(group), column, group.id, ascending, after).limit(limit)
        for condition in _conditions(wanted):
            query = query.where(condition)
        with self._database.read() as session:
            return group_records(session, session.scalars(query).all())

    def images(
        self, *, verdict: str | None = None, before: tuple[float, int] | None = None, limit: int = 48
    ) -> tuple[StoredImage, ...]:
        """Images observed before a key (mjd, id), the latest first; of one verdict if asked."""
        image = models.Image
        query = _by_key(select(image), image.mjd, image.id, False, before).limit(limit)
        if verdict is not None:
            query = query.where(image.verdict == verdict)
        with self._database.read() as session:
            return tuple(record_of(StoredImage, row) for row in session.scalars(query))

    def neighbours(self, image_id: int, mjd: float) -> tuple[int | None, int | None]:
        """The images observed just before and just after one."""
        image, key = models.Image, (mjd, image_id)
        before = _by_key(select(image.id), image.mjd, image.id, False, key).limit(1)
        after = _by_key(select(image.id), image.mjd, image.id, True, key).limit(1)
        with self._database.read() as session:
            return session.scalar(before), session.scalar(after)

    def tiles(self, since_mjd: float, until_mjd: float, limit: int = 3000) -> tuple[ObservedTile, ...]:
        """Every image observed between two times, in order; the latest `limit` of them."""
        image, made = models.Image, models.MeasurementSet
        query = (
            select(
                image.id, image.group_id, image.mjd, image.ra_deg, image.dec_deg, image.rms_jy, image.peak_jy,
                image.verdict, image.calibration_set.is_not(None), image.catalogue_flux_ratio, made.flagged_fraction,
            )
            .outerjoin(made, made.group_id == image.group_id)
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
        event = models.Event
        query = select(event).order_by(event.id.desc()).limit(limit)
        if before is not None:
            query = query.where(event.id < before)
        if level is not None:
            query = query.where(event.level == level)
        if group is not None:
            query = query.where(event.group_id == group)
        with self._database.read() as session:
            return tuple(record_of(EventRecord, row) for row in session.scalars(query))

    def ended_runs(self, after_s: float, limit: int = 5000) -> tuple[StageRunRecord, ...]:
        """Attempts that ended later than a time (epoch seconds), in the order in which they ended."""
        run = models.StageRun
        query = select(run).where(run.ended_at > after_s).order_by(run.ended_at, run.id).limit(limit)
        with self._database.read() as session:
            return tuple(record_of(StageRunRecord, row) for row in session.scalars(query))


def _by_key(
    query: Select[Any],
    column: InstrumentedAttribute[float],
    identity: InstrumentedAttribute[Any],
    ascending: bool,
    key: tuple[Any, ...] | None,
) -> Select[Any]:
    both = tuple_(column, identity)
    if key is not None:
        query = query.where(both > tuple_(*key) if ascending else both < tuple_(*key))
    return query.order_by(*(one.asc() if ascending else one.desc() for one in (column, identity)))


def _conditions(wanted: GroupFilter) -> list[ColumnElement[bool]]:
    group, found = models.Group, []
    if wanted.state is not None:
        found.append(group.state == wanted.state)
    if wanted.partial:
        found.append(group.partial == True)  # noqa: E712 (SQL)
    if wanted.since_s is not None:
        found.append(group.reference_s >= wanted.since_s)
    if wanted.until_s is not None:
        found.append(group.reference_s < wanted.until_s)
    return found
