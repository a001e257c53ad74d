"""Calibration registry: caltable sets with their validity, and which set replaced which."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Any

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.formats.records import Page, about, page_key
from contimg.instrument.time import mjd_to_unix
from contimg.quality.grades import GOOD
from contimg.settings.alerts import INFO, WARNING
from contimg.store.activity.events import record_event
from contimg.store.database import Repository, order_by_key
from contimg.store.jobs.kinds import LIVE, TILE
from contimg.store.jobs.records import find_job
from contimg.store.products import tile_products
from contimg.store.tables import CalibrationTable, Job, MeasurementSet, record_of

MAX_TABLES = 8  # of one set
_KINDS = {".bcal": "bandpass", ".gcal": "gain", ".kcal": "delay"}


@dataclass(frozen=True)
class Caltable:
    """One caltable of a set: `kind` is bandpass, gain or delay."""

    path: Annotated[
        Path,
        about(
            "The caltable on the pipeline's machine",
            example="/data/products/caltables/2026-02-22T01:35:20/2026-02-22T01:35:20.bcal",
        ),
    ]
    kind: Annotated[str, about("bandpass, gain or delay", example="bandpass")]


@dataclass(frozen=True)
class StoredCaltableSet:
    """A caltable set of the registry."""

    name: Annotated[str, about("Name of the set", example="2026-02-22T01:35:20")]
    tables: Annotated[tuple[Caltable, ...], about("Caltables in the order in which they are applied")]
    calibrator: Annotated[str, about("The source that was observed", example="3C48")]
    mjd: Annotated[float, about("When the source was observed, MJD, UTC", "d", 61093.067894)]
    valid_from_mjd: Annotated[float, about("Beginning of the validity of its bandpass, MJD, UTC", "d", 61092.567894)]
    valid_to_mjd: Annotated[float, about("End of the validity of its bandpass, MJD, UTC", "d", 61094.067894)]
    gains_valid_from_mjd: Annotated[
        float | None,
        about("Beginning of the validity of its gains, MJD, UTC; null where it is not known", "d", 61093.026),
    ]
    gains_valid_to_mjd: Annotated[
        float | None, about("End of the validity of its gains, MJD, UTC; null where it is not known", "d", 61093.11)
    ]
    reference_antenna: Annotated[str | None, about("Name of the reference antenna", example="103")]
    quality: Annotated[
        Mapping[str, Any],
        about(
            "Numbers of the solutions, by name",
            "keys end in the unit",
            {"flagged_fraction": 0.04, "bandpass": {"snr": 38.0}},
        ),
    ]
    group: Annotated[
        str | None,
        about("Id of the tile that it was solved on; null for an imported set", example="2026-02-22T01:35:20"),
    ]
    superseded_by: Annotated[str | None, about("Name of the set that replaced it", example="2026-02-22T01:35:20_b")]
    created_at: Annotated[float, about("When it was registered")]
    dec_deg: Annotated[
        float | None, about("Declination strip that it is valid for, ICRS; null for any", "deg", 33.16)
    ] = None
    grade: Annotated[str, about("QA grade: good or suspect", example="good")] = field(kw_only=True)
    reasons: Annotated[
        tuple[str, ...], about("Why the grade is not good", example=["phases of antenna 17 scatter by 31 deg"])
    ] = ()
    retired: Annotated[
        str | None,
        about("Why an operator retired it; null while it is not retired", example="wrong flux scale (operator)"),
    ] = None

    @property
    def observed_at(self) -> Annotated[float, about("When the source was observed")]:
        """When the source was observed, epoch seconds."""
        return mjd_to_unix(self.mjd)

    @property
    def valid_from(self) -> Annotated[float | None, about("Beginning of the validity; null for no beginning")]:
        """Beginning of the validity, epoch seconds; None for no beginning."""
        return mjd_to_unix(self.valid_from_mjd) if isfinite(self.valid_from_mjd) else None

    @property
    def valid_until(self) -> Annotated[float | None, about("End of the validity; null for no end")]:
        """End of the validity, epoch seconds; None for no end."""
        return mjd_to_unix(self.valid_to_mjd) if isfinite(self.valid_to_mjd) else None

    @property
    def gains_valid_from(
        self,
    ) -> Annotated[float | None, about("Beginning of the validity of its gains; null where it is not known")]:
        """Beginning of the validity of its gains, epoch seconds; None where it is not known."""
        return None if self.gains_valid_from_mjd is None else mjd_to_unix(self.gains_valid_from_mjd)

    @property
    def gains_valid_until(
        self,
    ) -> Annotated[float | None, about("End of the validity of its gains; null where it is not known")]:
        """End of the validity of its gains, epoch seconds; None where it is not known."""
        return None if self.gains_valid_to_mjd is None else mjd_to_unix(self.gains_valid_to_mjd)

    def is_valid_at(self, mjd: float) -> bool:
        """Tell whether its bandpass is valid at a time.

        Parameters
        ----------
        mjd : days, UTC.
        """
        return self.valid_from_mjd <= mjd <= self.valid_to_mjd

    @property
    def in_force(self) -> Annotated[bool, about("Whether it may be applied", example=True)]:
        """Whether it may be applied: neither superseded nor retired."""
        return self.superseded_by is None and self.retired is None


@dataclass(frozen=True, kw_only=True)
class CalibrationList(Page):
    """Caltable sets, the latest observed first."""

    calibrations: Annotated[tuple[StoredCaltableSet, ...], about("Caltable sets, the latest observed first")]


@dataclass(frozen=True)
class OutdatedTile:
    """A tile calibrated with the set `applied` that would now get the set `better`, or a newer one of the same name.

    `second` is the set that the gains would be interpolated with, if any.
    """

    group: str
    path: Path
    applied: str | None
    better: str
    second: str | None = None


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
            return _rank(_read_sets(session, query), mjd, dec_deg, strip_deg)

    def sets(self, limit: int = 50, *, before: tuple[float, str] | None = None) -> tuple[StoredCaltableSet, ...]:
        """Return the latest sets by observation time, newest first, superseded ones included.

        Parameters
        ----------
        limit : largest number of sets.
        before : only sets after this key of the list, MJD and name; a page's last set gives that of the next.
        """
        table = CalibrationTable
        newest = order_by_key(select(table.set_name), table.mjd, table.set_name, False, before)
        with self._database.read() as session:
            names = list(dict.fromkeys(session.scalars(newest.limit(MAX_TABLES * limit))))[:limit]
            caltable_sets = _read_sets(session, select(table).where(table.set_name.in_(names)))
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
            total = session.scalars(select(func.count(func.distinct(CalibrationTable.set_name)))).one()
        last = listed[limit - 1] if len(listed) > limit else None
        return CalibrationList(
            calibrations=listed[:limit], total=total, next=page_key(last.mjd, last.name) if last else None
        )

    def set_named(self, name: str) -> StoredCaltableSet | None:
        """Return a set by its name, or None.

        Parameters
        ----------
        name : of the set.
        """
        with self._database.read() as session:
            caltable_sets = _read_sets(session, select(CalibrationTable).filter_by(set_name=name))
        return caltable_sets[0] if caltable_sets else None

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
            row = session.scalar(select(CalibrationTable).filter_by(set_name=name).limit(1))
            if row is None:
                raise BadInput(f"calibration set {name}: not in the registry; `contimg calibrations list` shows all")
            of_set, retired = CalibrationTable.set_name == name, f"{reason or 'retired'} ({by})"
            session.execute(update(CalibrationTable).where(of_set).values(retired=retired))
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
    for row in session.scalars(select(table).where(table.set_name == product.name)):
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
        record_event(session, now, WARNING, group, f"{change}: {reasons}", "caltable")
    _record_outdated(session, change, now, (product.valid_from_mjd, product.valid_to_mjd), group)


def _read_sets(session: Session, query: Select[CalibrationTable]) -> list[StoredCaltableSet]:
    """The sets of which the query selects caltables."""
    rows = session.scalars(query.order_by(CalibrationTable.set_name, CalibrationTable.id)).all()
    caltable_sets = []
    for name, rows_of_set in groupby(rows, key=lambda row: row.set_name):
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
