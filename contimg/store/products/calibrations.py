"""Calibration registry: caltable sets with their validity, and which set replaced which."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import inf
from pathlib import Path

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.formats.records import page_key
from contimg.quality.grades import GOOD
from contimg.settings.alerts import INFO, WARNING
from contimg.store.activity.events import record_event
from contimg.store.database import Repository, order_by_key
from contimg.store.jobs.kinds import LIVE, TILE
from contimg.store.jobs.records import find_job
from contimg.store.products import tile_products
from contimg.store.products.caltable_records import CalibrationList, Caltable, OutdatedTile, StoredCaltableSet
from contimg.store.tables import CalibrationTable, Job, MeasurementSet, record_of

MAX_TABLES = 8  # of one set
_KINDS = {".bcal": "bandpass", ".gcal": "gain", ".kcal": "delay"}


class Registry(Repository):
    """Caltable sets by time."""

    def valid_at(
        self, mjd: float, dec_deg: float | None = None, strip_deg: float = STRIP_DEG, processing: str = LIVE,
        borrow_days: float = 0.0,
    ) -> tuple[StoredCaltableSet, ...]:  # fmt: skip
        """Return the sets in force whose bandpass is valid at a time, good ones first, then the nearest in time.

        Parameters
        ----------
        mjd : days, UTC.
        dec_deg, strip_deg : declination, and how far a set's declination may be from it; None for any.
        processing : sets of other campaigns are left out.
        borrow_days : age up to which sets that are not valid follow, days.
        """
        table = CalibrationTable
        is_valid = and_(table.valid_from_mjd <= mjd, table.valid_to_mjd >= mjd)
        is_near = table.mjd.between(mjd - borrow_days, mjd + borrow_days)
        query = select(CalibrationTable).where(
            or_(is_valid, is_near) if borrow_days else is_valid,
            CalibrationTable.superseded_by.is_(None),
            CalibrationTable.retired.is_(None),
            CalibrationTable.processing.in_({LIVE, processing}),
        )
        with self._database.read() as session:
            caltable_sets = _read_sets(session, query)
            if processing != LIVE:  # a set that the campaign solved again replaces that of the stream
                own = _read_sets(session, select(table).where(table.processing == processing))
                solved = {caltable_set.name for caltable_set in own}
                caltable_sets = [
                    caltable_set for caltable_set in caltable_sets
                    if caltable_set.name not in solved or caltable_set in own
                ]  # fmt: skip
            return _rank(caltable_sets, mjd, dec_deg, strip_deg)

    def sets(self, limit: int = 50, *, before: tuple[float, str] | None = None) -> tuple[StoredCaltableSet, ...]:
        """Return the latest sets of the stream by observation time, newest first, superseded ones included.

        Parameters
        ----------
        limit : largest number of sets.
        before : only sets after this key of the list, MJD and name; a page's last set gives that of the next.
        """
        table = CalibrationTable
        is_live = table.processing == LIVE
        newest = order_by_key(select(table.set_name).where(is_live), table.mjd, table.set_name, False, before)
        with self._database.read() as session:
            names = list(dict.fromkeys(session.scalars(newest.limit(MAX_TABLES * limit))))[:limit]
            caltable_sets = _read_sets(session, select(table).where(is_live, table.set_name.in_(names)))
        return tuple(
            sorted(caltable_sets, key=lambda caltable_set: (caltable_set.mjd, caltable_set.name), reverse=True)
        )

    def list_sets(self, limit: int = 20, *, before: tuple[float, str] | None = None) -> CalibrationList:
        """Return a page of the sets, with their number.

        Parameters
        ----------
        limit, before : as of `sets`.
        """
        listed = self.sets(limit + 1, before=before)
        with self._database.read() as session:
            number = select(func.count(func.distinct(CalibrationTable.set_name)))
            total = session.scalars(number.where(CalibrationTable.processing == LIVE)).one()
        last = listed[limit - 1] if len(listed) > limit else None
        return CalibrationList(
            calibrations=listed[:limit], total=total, next=page_key(last.mjd, last.name) if last else None
        )

    def set_named(self, name: str, processing: str = LIVE) -> StoredCaltableSet | None:
        """Return a set by its name, or None.

        Parameters
        ----------
        name : of the set.
        processing : of the set; a campaign without a set of this name has that of the stream.
        """
        with self._database.read() as session:
            for owner in dict.fromkeys((processing, LIVE)):
                of_owner = select(CalibrationTable).filter_by(set_name=name, processing=owner)
                if caltable_sets := _read_sets(session, of_owner):
                    return caltable_sets[0]
        return None

    def register(self, caltable_set: CaltableSet, *, group: str | None = None) -> None:
        """Add a set from outside the stream, for example an imported one; a set of the same name is replaced.

        Parameters
        ----------
        caltable_set : the set with its validity and QA grade.
        group : the tile that it was solved on, whose earlier sets it supersedes; None for an imported set.

        Raises
        ------
        BadInput : the set has no QA grade.
        """
        with self._database.write() as session:
            job = find_job(session, group) if group else None
            _write_set(caltable_set, session, job, self._database.clock())

    def retire(self, name: str, reason: str, *, by: str) -> None:
        """Retire a set with a reason: it is not applied any more.

        Parameters
        ----------
        name : of the set.
        reason : for operators; it is stored with the set and recorded in an event.
        by : who retires it; stored and recorded too.

        Raises
        ------
        BadInput : no set has that name.
        """
        with self._database.write() as session:
            row = session.scalar(select(CalibrationTable).filter_by(set_name=name, processing=LIVE).limit(1))
            if row is None:
                raise BadInput(f"calibration set {name}: not in the registry; `contimg calibrations list` shows all")
            retired = f"{reason or 'retired'} ({by})"
            of_set = (CalibrationTable.set_name == name, CalibrationTable.processing == LIVE)
            session.execute(update(CalibrationTable).where(*of_set).values(retired=retired))
            session.flush()
            now, change = self._database.clock(), f"calibration set {name} is retired: {retired}"
            record_event(session, now, WARNING, None, change, author=by)
            _record_outdated(session, change, now, (row.valid_from_mjd, row.valid_to_mjd))

    def outdated(self, strip_deg: float = STRIP_DEG, borrow_days: float = 0.0) -> tuple[OutdatedTile, ...]:
        """Return the calibrated tiles that a set in force would change, oldest first.

        Parameters
        ----------
        strip_deg : largest difference in declination between a tile and a set, degrees.
        borrow_days : age up to which a set is borrowed where none is valid, days.
        """
        with self._database.read() as session:
            return _find_outdated(session, strip_deg, borrow_days=borrow_days)


@tile_products.write.register
def _write_set(product: CaltableSet, session: Session, job: Job | None, now: float) -> None:
    """Write the caltables of a set; earlier sets of the same tile and processing are superseded by it."""
    if not product.grade:
        raise BadInput(f"calibration set {product.name}: has no QA grade; assess it before it is registered")
    table = CalibrationTable
    group = job.key if job is not None and job.kind == TILE.name else None
    processing = LIVE if job is None else job.processing
    paths = [str(path.absolute()) for path in product.paths]
    is_same = (table.set_name == product.name) & (table.processing == processing)
    for row in session.scalars(select(table).where(is_same | table.path.in_(paths))):
        session.delete(row)
    session.flush()
    if group is not None:
        session.execute(
            update(table)
            .where(table.group_id == group, table.processing == processing, table.superseded_by.is_(None))
            .values(superseded_by=product.name)
        )
    ms_id = None if job is None else tile_products.measurement_set_id(session, job)
    for path in product.paths:
        row = table(set_name=product.name, processing=processing, group_id=group, ms_id=ms_id, created_at=now)
        tile_products.fill_row(row, product)
        row.job_id = None if job is None else job.id
        row.path, row.kind = str(path.absolute()), _KINDS.get(path.suffix, path.suffix.lstrip("."))
        row.reference_antenna = product.reference_antenna or None
        row.quality = {**product.quality, "flagged_fraction": product.flagged_fraction}
        session.add(row)
    session.flush()
    change = f"calibration set {product.name} on {product.calibrator} is {product.grade}"
    if product.grade != GOOD:
        reasons = "; ".join(product.reasons) or "no reason was given"
        record_event(session, now, WARNING, group, f"{change}: {reasons}", "caltable", processing=processing)
    if processing == LIVE:
        _record_outdated(session, change, now, (product.valid_from_mjd, product.valid_to_mjd), group)


def _read_sets(session: Session, query: Select[CalibrationTable]) -> list[StoredCaltableSet]:
    """The sets of which the query selects caltables."""
    table = CalibrationTable
    rows = session.scalars(query.order_by(table.set_name, table.processing, table.id)).all()
    caltable_sets = []
    for (name, _), rows_of_set in groupby(rows, key=lambda row: (row.set_name, row.processing)):
        members = list(rows_of_set)
        caltables = tuple(Caltable(Path(row.path), row.kind) for row in members)
        caltable_sets.append(record_of(StoredCaltableSet, members[0], name=name, tables=caltables))
    return caltable_sets


def _rank(
    caltable_sets: Iterable[StoredCaltableSet], mjd: float, dec_deg: float | None, strip_deg: float
) -> tuple[StoredCaltableSet, ...]:
    """The sets of a declination strip: valid ones first, then good ones, then the nearest in time, then the newest."""

    def is_of_strip(stored: StoredCaltableSet) -> bool:
        return dec_deg is None or stored.dec_deg is None or abs(stored.dec_deg - dec_deg) <= strip_deg

    def rank(stored: StoredCaltableSet) -> tuple[bool, bool, float, float]:
        return not stored.is_valid_at(mjd), stored.grade != GOOD, abs(stored.mjd - mjd), -stored.created_at

    return tuple(sorted(filter(is_of_strip, caltable_sets), key=rank))


def _find_outdated(
    session: Session,
    strip_deg: float = STRIP_DEG,
    span_mjd: tuple[float, float] = (-inf, inf),
    borrow_days: float = 0.0,
) -> tuple[OutdatedTile, ...]:
    """The calibrated tiles within a span of time that a set in force would change, oldest first."""
    table, tile = CalibrationTable, MeasurementSet
    in_force = (table.superseded_by.is_(None), table.retired.is_(None), table.processing == LIVE)
    caltable_sets = _read_sets(session, select(table).where(*in_force))
    tiles = (
        select(tile)
        .where(tile.calibrated_at.is_not(None), tile.processing == LIVE)
        .where(tile.mjd_end >= span_mjd[0], tile.mjd_start <= span_mjd[1])
    )
    outdated = []
    for row in session.scalars(tiles.order_by(tile.mjd_start)):
        mjd = 0.5 * (row.mjd_start + row.mjd_end)
        usable = (stored for stored in caltable_sets if stored.is_valid_at(mjd) or abs(stored.mjd - mjd) < borrow_days)
        ranked = _rank(usable, mjd, row.dec_deg, strip_deg)
        if not ranked:
            continue
        best, second = ranked[0], _find_second(ranked, mjd, row.group_id)
        newest_at = max(best.created_at, second.created_at if second else 0.0)
        is_older = row.calibrated_at is not None and row.calibrated_at < newest_at
        has_lost_second = row.second_set is not None and (second is None or row.second_set != second.name)
        if best.name != row.calibration_set or is_older or has_lost_second:
            outdated.append(
                OutdatedTile(
                    row.group_id, Path(row.path), row.calibration_set, best.name, second.name if second else None
                )
            )
    return tuple(outdated)


def _find_second(ranked: Sequence[StoredCaltableSet], mjd: float, group: str) -> StoredCaltableSet | None:
    """The set that the gains of the first are interpolated with: the nearest good and valid one on the other side."""
    best = ranked[0]
    if best.grade != GOOD or best.group == group or not best.is_valid_at(mjd):
        return None
    is_later = best.mjd <= mjd
    return next(
        (
            stored
            for stored in ranked[1:]
            if stored.grade == GOOD and stored.is_valid_at(mjd) and (stored.mjd > mjd) == is_later
            and stored.mjd != best.mjd
        ),
        None,
    )  # fmt: skip


def _record_outdated(
    session: Session, change: str, now: float, span_mjd: tuple[float, float], group: str | None = None
) -> None:
    """Record as an event how many tiles a change of the registry outdates, other than the group being calibrated.

    Only tiles within the validity of the changed set are read: this runs in a transaction that writes, and years of
    tiles would keep it open for seconds.
    """
    count = sum(tile.group != group for tile in _find_outdated(session, span_mjd=span_mjd))
    if count:
        tiles = f"{count} tile{'s' if count > 1 else ''}"
        record_event(session, now, INFO, group, f"{change}: {tiles} would change; run `contimg recalibrate`")
