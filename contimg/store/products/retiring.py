"""Old products leave: which may go by the rules, and how one goes without ever being half there.

A product's row goes in the transaction in which its files lose their names, and only while no stage of its group
waits or runs. What the registry stands on is never among them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.files.staging import MARK
from contimg.instrument.time import DAY_S
from contimg.settings import RetentionRules
from contimg.store import tables as models
from contimg.store.activity.events import INFO, note
from contimg.store.database import Database
from contimg.store.records import State
from contimg.store.rows import locked_group

GOOD = "good"


@dataclass(frozen=True)
class Retirable:
    """A product that the rules no longer keep.

    Attributes
    ----------
    kind : "Measurement Set" or "image".
    paths : its files and directories. created_at : epoch seconds.
    """

    group: str
    kind: str
    paths: tuple[Path, ...]
    created_at: float


class Retiring:
    """Retention, as far as the store is concerned."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, rules: RetentionRules) -> tuple[Retirable, ...]:
        """What may go now, the oldest first; nothing is changed."""
        now = self._database.clock()
        with self._database.read() as session:
            found = [*_measurement_sets(session, rules, now), *_images(session, rules, now)]
        return tuple(sorted(found, key=lambda one: one.created_at))

    def retire(self, one: Retirable, unname: Callable[[Sequence[Path]], None]) -> bool:
        """Take a product's row away and let `unname` take its files' names; False when its group is at work again.

        Should `unname` fail, the row stays.
        """
        now = self._database.clock()
        model: Any = _MODELS[one.kind]
        with self._database.write() as session:
            group = locked_group(session, one.group)
            row = session.scalar(select(model).where(model.group_id == one.group))
            if group is None or row is None or group.state != State.COMPLETED or row.created_at != one.created_at:
                return False
            session.delete(row)
            days = (now - one.created_at) / DAY_S
            note(session, now, INFO, one.group, f"{one.kind} retired after {days:.1f} days")
            session.flush()
            unname(one.paths)
            return True


_MODELS = {
    "Measurement Set": models.MeasurementSet,
    "image": models.Image,
}


def _measurement_sets(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    if not rules.keep_ms_days:
        return
    table = models.CalibrationTable
    needed = set(session.scalars(select(table.group_id).where(table.superseded_by.is_(None))))
    for row in _old(session, models.MeasurementSet, rules, now - rules.keep_ms_days * DAY_S):
        if row.group_id not in needed:
            yield Retirable(row.group_id, "Measurement Set", (Path(row.path),), row.created_at)


def _images(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    if not rules.keep_images_days:
        return
    for row in _old(session, models.Image, rules, now - rules.keep_images_days * DAY_S):
        # Every file of the group's that lies there: there may be more kinds than the row names.
        files = (one for one in Path(row.fits_path).parent.glob(f"{row.group_id}.*") if MARK not in one.name)
        yield Retirable(
            row.group_id, "image", (Path(row.fits_path), *sorted(set(files) - {Path(row.fits_path)})), row.created_at
        )


Product = TypeVar("Product", models.MeasurementSet, models.Image)


def _old(session: Session, model: type[Product], rules: RetentionRules, before: float) -> list[Product]:
    """Rows made before a time, but not the newest, not those at work, and not those that somebody should look at."""
    newest = select(model.id).order_by(model.created_at.desc()).limit(rules.keep_last)
    kept = set(session.scalars(newest))
    query = (
        select(model)
        .join(models.Group, models.Group.id == model.group_id)
        .where(model.created_at < before, models.Group.state == State.COMPLETED)
    )
    rows: list[Product] = [row for row in session.scalars(query) if row.id not in kept]
    if rules.keep_flagged:
        image = models.Image
        flagged = set(session.scalars(select(image.group_id).where(image.verdict.is_not(None), image.verdict != GOOD)))
        rows = [row for row in rows if row.group_id not in flagged]
    return rows
