"""The calibration registry: which tables are valid when, and which set replaced which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import STRIP_DEG, CaltableSet
from contimg.quality.grades import GOOD
from contimg.store import products, tables
from contimg.store.activity.events import INFO, record_event
from contimg.store.database import Repository
from contimg.store.jobs.kinds import LIVE, TILE
from contimg.store.jobs.rows import find_job
from contimg.store.tables import record_of

MOST_TABLES = 8  # of one set
_KINDS = {".bcal": "bandpass", ".gcal": "gain", ".kcal": "delay"}


@dataclass(frozen=True)
class TableRow:
    """One calibration table of a set: `kind` such as bandpass or gain, in the order in which they are applied."""

    path: Path
    kind: str


@dataclass(frozen=True)
class CalibrationSetRecord:
    """A set as the registry holds it; `group` is the tile it was solved on, `created_at` epoch seconds.

    It is in force unless `superseded_by` names another or `retired` says why an operator took it out.
    """

    name: str
    tables: tuple[TableRow, ...]
    calibrator: str
    mjd: float
    valid_from_mjd: float
    valid_to_mjd: float
    reference_antenna: str | None
    quality: Mapping[str, Any]
    group: str | None
    superseded_by: str | None
    created_at: float
    dec_deg: float | None = None
    grade: str = field(kw_only=True)
    reasons: tuple[str, ...] = ()
    retired: str | None = None

    @property
    def in_force(self) -> bool:
        """Whether tiles may take it."""
        return self.superseded_by is None and self.retired is None


@dataclass(frozen=True)
class Outdated:
    """A calibrated tile that would get another set, or a newer one of the same name, if it were calibrated now."""

    group: str
    path: Path
    applied: str | None
    better: str


class Registry(Repository):
    """Calibration sets by time."""

    def valid_at(
        self, mjd: float, dec_deg: float | None = None, strip_deg: float = STRIP_DEG, processing: str = LIVE
    ) -> tuple[CalibrationSetRecord, ...]:
        """Sets in force at a time (MJD days UTC) and, if given, on a strip: good ones first, then the nearest in time.

        Superseded and retired ones are left out, and those of campaigns other than `processing`.
        """
        table = tables.CalibrationTable
        query = select(table).where(
            table.valid_from_mjd <= mjd,
            table.valid_to_mjd >= mjd,
            table.superseded_by.is_(None),
            table.retired.is_(None),
            table.processing.in_({LIVE, processing}),
        )
        return _ranked(self._sets(query), mjd, dec_deg, strip_deg)

    def sets(self, limit: int = 50) -> tuple[CalibrationSetRecord, ...]:
        """The latest sets by observation time, newest first, superseded ones included."""
        table = tables.CalibrationTable
        newest = select(table.set_name).order_by(table.mjd.desc(), table.id.desc()).limit(MOST_TABLES * limit)
        with self._database.read() as session:
            names = list(dict.fromkeys(session.scalars(newest)))[:limit]
            found = _sets(session, select(table).where(table.set_name.in_(names)))
        return tuple(sorted(found, key=lambda one: -one.mjd))

    def set_named(self, name: str) -> CalibrationSetRecord | None:
        """One set by name, or None."""
        found = self._sets(select(tables.CalibrationTable).where(tables.CalibrationTable.set_name == name))
        return found[0] if found else None

    def register(self, calibration: CaltableSet, *, group: str | None = None) -> None:
        """Add a set from outside the stream, for example one solved by hand; the same name again replaces it."""
        with self._database.write() as session:
            job = find_job(session, group) if group else None
            _write_set(calibration, session, job, self._database.clock())

    def retire(self, name: str, reason: str) -> None:
        """Take a set out of force for good, with the reason; raises BadInput when it is unknown."""
        with self._database.write() as session:
            table = tables.CalibrationTable
            one = session.scalar(select(table).filter_by(set_name=name).limit(1))
            if one is None:
                raise BadInput(f"calibration set {name}: not in the registry; `contimg calibrations list` shows all")
            session.execute(update(table).where(table.set_name == name).values(retired=reason))
            session.flush()
            what, valid = f"calibration set {name} is retired ({reason})", (one.valid_from_mjd, one.valid_to_mjd)
            _say_outdated(session, what, self._database.clock(), valid)

    def outdated(self, strip_deg: float = STRIP_DEG) -> tuple[Outdated, ...]:
        """The calibrated tiles that a set in force would change, the oldest first."""
        with self._database.read() as session:
            return _outdated(session, strip_deg)

    def _sets(self, query: Select[tables.CalibrationTable]) -> list[CalibrationSetRecord]:
        with self._database.read() as session:
            return _sets(session, query)


@products.write.register
def _write_set(product: CaltableSet, session: Session, job: tables.Job | None, now: float) -> None:
    """Write the tables of a set; sets solved before on the same tile by the same processing are superseded by it."""
    if not product.grade:
        raise BadInput(f"calibration set {product.name}: has no QA grade; assess it before it is registered")
    table = tables.CalibrationTable
    group = job.key if job is not None and job.kind == TILE.name else None
    processing = LIVE if job is None else job.processing
    for old in session.scalars(select(table).where(table.set_name == product.name)):
        session.delete(old)
    session.flush()
    if group is not None:
        session.execute(
            update(table)
            .where(table.group_id == group, table.processing == processing, table.superseded_by.is_(None))
            .values(superseded_by=product.name)
        )
    session.add_all(_rows(product, session, job, group, now))
    session.flush()
    what = f"calibration set {product.name} on {product.calibrator} is {product.grade}"
    _say_outdated(session, what, now, (product.valid_from_mjd, product.valid_to_mjd), group)


def _sets(session: Session, query: Select[tables.CalibrationTable]) -> list[CalibrationSetRecord]:
    rows = session.scalars(query.order_by(tables.CalibrationTable.set_name, tables.CalibrationTable.id)).all()
    return [_record(list(tables)) for _, tables in groupby(rows, key=lambda row: row.set_name)]


def _ranked(
    sets: Iterable[CalibrationSetRecord], mjd: float, dec_deg: float | None, strip_deg: float
) -> tuple[CalibrationSetRecord, ...]:
    """The sets of a strip, good ones first, then the nearest in time, then the newest."""
    here = [
        one for one in sets if dec_deg is None or one.dec_deg is None or abs(one.dec_deg - dec_deg) <= strip_deg
    ]  # fmt: skip
    return tuple(sorted(here, key=lambda one: (one.grade != GOOD, abs(one.mjd - mjd), -one.created_at)))


def _outdated(
    session: Session, strip_deg: float = STRIP_DEG, within: tuple[float, float] = (-inf, inf)
) -> tuple[Outdated, ...]:
    """The same, of the tiles that lie `within` these times, MJD, alone."""
    table, tile = tables.CalibrationTable, tables.MeasurementSet
    in_force = (table.superseded_by.is_(None), table.retired.is_(None), table.processing == LIVE)
    sets = _sets(session, select(table).where(*in_force))
    calibrated = select(tile).where(tile.calibrated_at.is_not(None), tile.processing == LIVE).order_by(tile.mjd_start)
    found = []
    for row in session.scalars(calibrated.where(tile.mjd_end >= within[0], tile.mjd_start <= within[1])):
        mjd = 0.5 * (row.mjd_start + row.mjd_end)
        valid = [one for one in sets if one.valid_from_mjd <= mjd <= one.valid_to_mjd]
        best = next(iter(_ranked(valid, mjd, row.dec_deg, strip_deg)), None)
        if best is None:
            continue
        renewed = row.calibrated_at is not None and row.calibrated_at < best.created_at
        if best.name != row.calibration_set or renewed:
            found.append(Outdated(row.group_id, Path(row.path), row.calibration_set, best.name))
    return tuple(found)


def _say_outdated(
    session: Session, what: str, now: float, valid: tuple[float, float], group: str | None = None
) -> None:
    """Tell the operator how many tiles a change of the registry would change; the group being calibrated aside.

    Only tiles of the time in which the set is `valid` are looked at: this is within a transaction that writes, and
    years of tiles would keep it open for seconds.
    """
    tiles = [one for one in _outdated(session, within=valid) if one.group != group]
    if tiles:
        count = f"{len(tiles)} tile{'s' if len(tiles) > 1 else ''}"
        record_event(session, now, INFO, group, f"{what}: {count} would change; `contimg recalibrate` makes them again")


def _rows(
    product: CaltableSet, session: Session, job: tables.Job | None, group: str | None, now: float
) -> Iterable[tables.CalibrationTable]:
    job_id, processing = (None, LIVE) if job is None else (job.id, job.processing)
    ms_id = None if job is None else products.measurement_set_id(session, job)
    for path in product.paths:
        row = tables.CalibrationTable(
            set_name=product.name, job_id=job_id, processing=processing, group_id=group, ms_id=ms_id
        )
        products.fill_row(row, product)
        row.path, row.kind = str(path.absolute()), _KINDS.get(path.suffix, path.suffix.lstrip("."))
        row.reference_antenna = product.reference_antenna or None
        row.quality = {**product.quality, "flagged_fraction": product.flagged_fraction}
        row.created_at = now
        yield row


def _record(rows: list[tables.CalibrationTable]) -> CalibrationSetRecord:
    caltables = tuple(TableRow(Path(row.path), row.kind) for row in rows)
    return record_of(CalibrationSetRecord, rows[0], name=rows[0].set_name, tables=caltables)
