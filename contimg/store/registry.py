"""The calibration registry: which tables are valid when, and which set replaced which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from contimg.errors import BadInput
from contimg.store import models, products
from contimg.store.database import Database


@dataclass(frozen=True)
class TableRow:
    """One calibration table of a set: `kind` such as bandpass or gain, in the order in which they are applied."""

    path: Path
    kind: str


@dataclass(frozen=True)
class CalibrationSetRow:
    """One solve: tables that are applied together.

    Attributes
    ----------
    mjd : when the calibrator was observed; validity is from `valid_from_mjd` up to `valid_to_mjd`, MJD days UTC.
    quality : plain numbers, for example {"flagged_fraction": 0.01}.
    """

    name: str
    tables: tuple[TableRow, ...]
    calibrator: str
    mjd: float
    valid_from_mjd: float
    valid_to_mjd: float
    reference_antenna: str | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CalibrationSetRecord:
    """A set as the registry holds it; `group` is the tile it was solved on, `created_at` epoch seconds."""

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


class Registry:
    """Calibration sets by time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def valid_at(self, mjd: float) -> tuple[CalibrationSetRecord, ...]:
        """Sets in force at a time (MJD days UTC), the one observed nearest to it first; superseded ones left out."""
        table = models.CalibrationTable
        query = select(table).where(
            table.valid_from_mjd <= mjd, table.valid_to_mjd >= mjd, table.superseded_by.is_(None)
        )
        return tuple(sorted(self._sets(query), key=lambda one: (abs(one.mjd - mjd), -one.created_at)))

    def sets(self, limit: int = 50) -> tuple[CalibrationSetRecord, ...]:
        """The latest sets by observation time, newest first, superseded ones included."""
        newest = sorted(self._sets(select(models.CalibrationTable)), key=lambda one: -one.mjd)
        return tuple(newest[:limit])

    def set_named(self, name: str) -> CalibrationSetRecord | None:
        """One set by name, or None."""
        found = self._sets(select(models.CalibrationTable).where(models.CalibrationTable.set_name == name))
        return found[0] if found else None

    def register(self, calibration: CalibrationSetRow, *, group: str | None = None) -> None:
        """Add a set from outside the stream, for example one solved by hand; the same name again replaces it."""
        with self._database.write() as session:
            _write_set(calibration, session, group, self._database.clock())

    def supersede(self, old: str, new: str) -> None:
        """Take a set out of force because another replaces it; raises BadInput when either is unknown."""
        with self._database.write() as session:
            for name in (old, new):
                if not session.scalar(select(models.CalibrationTable.id).filter_by(set_name=name).limit(1)):
                    raise BadInput(
                        f"calibration set {name}: not in the registry; `contimg status` lists those that are"
                    )
            table = models.CalibrationTable
            session.execute(update(table).where(table.set_name == old).values(superseded_by=new))

    def _sets(self, query: Select[models.CalibrationTable]) -> list[CalibrationSetRecord]:
        with self._database.read() as session:
            rows = session.scalars(query.order_by(models.CalibrationTable.set_name, models.CalibrationTable.id)).all()
        return [_record(list(tables)) for _, tables in groupby(rows, key=lambda row: row.set_name)]


@products.write.register
def _write_set(product: CalibrationSetRow, session: Session, group: str | None, now: float) -> None:
    """Write the tables of a set; sets solved before on the same tile are superseded by it."""
    table = models.CalibrationTable
    for old in session.scalars(select(table).where(table.set_name == product.name)):
        session.delete(old)
    session.flush()
    if group is not None:
        session.execute(
            update(table)
            .where(table.group_id == group, table.superseded_by.is_(None))
            .values(superseded_by=product.name)
        )
    session.add_all(_rows(product, group, now))


def _rows(product: CalibrationSetRow, group: str | None, now: float) -> Iterable[models.CalibrationTable]:
    for one in product.tables:
        yield models.CalibrationTable(
            path=str(one.path),
            set_name=product.name,
            group_id=group,
            kind=one.kind,
            calibrator=product.calibrator,
            reference_antenna=product.reference_antenna,
            mjd=product.mjd,
            valid_from_mjd=product.valid_from_mjd,
            valid_to_mjd=product.valid_to_mjd,
            quality=dict(product.quality),
            superseded_by=None,
            created_at=now,
        )


def _record(tables: list[models.CalibrationTable]) -> CalibrationSetRecord:
    one = tables[0]
    return CalibrationSetRecord(
        name=one.set_name,
        tables=tuple(TableRow(Path(table.path), table.kind) for table in tables),
        calibrator=one.calibrator,
        mjd=one.mjd,
        valid_from_mjd=one.valid_from_mjd,
        valid_to_mjd=one.valid_to_mjd,
        reference_antenna=one.reference_antenna,
        quality=one.quality,
        group=one.group_id,
        superseded_by=one.superseded_by,
        created_at=one.created_at,
    )
