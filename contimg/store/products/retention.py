"""Retention: which products are old enough to go, and how one goes with its files.

The row of a product is deleted in the transaction in which its files are renamed away, and only while its job is
completed. Measurement Sets that a caltable in force was solved on are kept, and so are images that an epoch without its
mosaic needs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.files.staging import MARK
from contimg.instrument.time import DAY_S
from contimg.quality.grades import GOOD
from contimg.settings import RetentionRules
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.epochs.collecting import wanted_images
from contimg.store.jobs.kinds import State
from contimg.store.jobs.records import find_job
from contimg.store.products.tile_products import Product


@dataclass(frozen=True)
class Retirable:
    """A product that the rules no longer keep.

    Attributes
    ----------
    kind : "Measurement Set", "image" or "mosaic".
    paths : its files and directories. created_at : epoch seconds.
    """

    job_id: int
    group: str
    kind: str
    paths: tuple[Path, ...]
    created_at: float


class Retention(Repository):
    """Retention of products in the store."""

    def due(self, rules: RetentionRules) -> tuple[Retirable, ...]:
        """Return the products that may go now, the oldest first; nothing is changed.

        Parameters
        ----------
        rules : ages after which products go, days, and which of them are kept.
        """
        now = self._database.clock()
        with self._database.read() as session:
            needed = wanted_images(session, self._database.rules) if rules.keep_images_days else set()
            images = [product for product, image_id in _images(session, rules, now) if image_id not in needed]
            products = [*_measurement_sets(session, rules, now), *images, *_mosaics(session, rules, now)]
        return tuple(sorted(products, key=lambda product: product.created_at))

    def retire(self, product: Retirable, unname: Callable[[Sequence[Path]], None]) -> bool:
        """Delete the row of a product and rename its files away; the row stays when that fails.

        Parameters
        ----------
        product : from `due`.
        unname : called with the product's paths in the transaction that deletes the row; its exception undoes that.

        Returns
        -------
        False, with nothing changed, when the job is queued again, an open epoch needs the image, or the product was
        replaced or is gone.
        """
        now = self._database.clock()
        model: Any = _MODELS[product.kind]
        with self._database.write() as session:
            job = find_job(session, product.job_id, lock=True)
            row = session.scalar(select(model).where(model.job_id == product.job_id))
            if job is None or row is None or job.state != State.COMPLETED or row.created_at != product.created_at:
                return False
            if model is tables.Image and row.id in wanted_images(session, self._database.rules):
                return False
            session.delete(row)
            days = (now - product.created_at) / DAY_S
            record_event(session, now, INFO, product.group, f"{product.kind} retired after {days:.1f} days")
            session.flush()
            unname(product.paths)
            return True


_MODELS = {"Measurement Set": tables.MeasurementSet, "image": tables.Image, "mosaic": tables.MosaicRow}


def _measurement_sets(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    if not rules.keep_ms_days:
        return
    table = tables.CalibrationTable
    needed = set(session.scalars(select(table.job_id).where(table.superseded_by.is_(None))))
    for row in _old(session, tables.MeasurementSet, rules, now - rules.keep_ms_days * DAY_S):
        if row.job_id not in needed:
            yield Retirable(row.job_id, row.group_id, "Measurement Set", (Path(row.path),), row.created_at)


def _images(session: Session, rules: RetentionRules, now: float) -> Iterator[tuple[Retirable, int]]:
    """Each image with its number."""
    if not rules.keep_images_days:
        return
    for row in _old(session, tables.Image, rules, now - rules.keep_images_days * DAY_S):
        # Every file of the group beside the image: there may be more kinds than the row names.
        fits = Path(row.fits_path)
        files = {path for path in fits.parent.glob(f"{row.group_id}.*") if MARK not in path.name}
        yield Retirable(row.job_id, row.group_id, "image", (fits, *sorted(files - {fits})), row.created_at), row.id


def _mosaics(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    if not rules.keep_mosaics_days:
        return
    mosaic, job = tables.MosaicRow, tables.Job
    newest = set(session.scalars(select(mosaic.id).order_by(mosaic.created_at.desc()).limit(rules.keep_last)))
    is_old = mosaic.created_at < now - rules.keep_mosaics_days * DAY_S
    query = select(mosaic).join(job, job.id == mosaic.job_id).where(is_old, job.state == State.COMPLETED)
    for row in session.scalars(query):
        if row.id in newest or (rules.keep_flagged and row.verdict not in (None, GOOD)):
            continue
        fits = Path(row.record["fits_path"])
        files = {path for path in fits.parent.glob(f"{row.epoch}.*") if MARK not in path.name}
        yield Retirable(row.job_id, row.epoch, "mosaic", (fits, *sorted(files - {fits})), row.created_at)


def _old(session: Session, model: type[Product], rules: RetentionRules, before: float) -> list[Product]:
    """Rows created before a time (epoch seconds), without the newest, those queued again, and flagged images."""
    newest = select(model.id).order_by(model.created_at.desc()).limit(rules.keep_last)
    newest_ids = set(session.scalars(newest))
    job = tables.Job
    query = (
        select(model).join(job, job.id == model.job_id).where(model.created_at < before, job.state == State.COMPLETED)
    )
    rows: list[Product] = [row for row in session.scalars(query) if row.id not in newest_ids]
    if rules.keep_flagged:
        image = tables.Image
        flagged = set(session.scalars(select(image.job_id).where(image.verdict.is_not(None), image.verdict != GOOD)))
        rows = [row for row in rows if row.job_id not in flagged]
    return rows
