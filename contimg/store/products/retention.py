"""Retention: which products are old enough to go, and how one goes with its files.

Only products of the stream go; those of a campaign stay until it is dropped. The row of a product is deleted in the
transaction in which its files are renamed away, and only while its job is completed. Where the rules require verified
copies, every file of the product must have them in places that are there. Measurement Sets that a caltable in force was
solved on or that a campaign is still to read are kept, and so are images that an epoch without its mosaic
needs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.files.staging import MARK
from contimg.instrument.time import DAY_S
from contimg.quality.grades import GOOD
from contimg.settings import RetentionRules
from contimg.settings.alerts import INFO
from contimg.settings.retention import IMAGE, MOSAIC, MS, RAW
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.epochs.collecting import wanted_images
from contimg.store.epochs.tiles import UNDECIDED
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.jobs.records import find_job
from contimg.store.products.tile_products import Product
from contimg.store.survey.archive.copies import verified_counts
from contimg.store.survey.archive.product_files import LocalState, mark_retired


@dataclass(frozen=True)
class Retirable:
    """A product that the rules no longer keep.

    Attributes
    ----------
    kind : "Measurement Set", "image", "mosaic" or "subband files".
    paths : its files and directories. created_at : epoch seconds.
    required_places : number of places in which each of its files must have a verified copy before it is deleted.
    lacking_copies : number of its files that have fewer; while there is one, the product is kept.
    """

    job_id: int
    group: str
    kind: str
    paths: tuple[Path, ...]
    created_at: float
    required_places: int = 0
    lacking_copies: int = 0


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
            products += _subband_files(session, rules, now)
            required = {kind: rules.required_places.get(name, 0) for kind, name in _KINDS.items()}
            products = [replace(product, required_places=required[product.kind]) for product in products]
            products = [replace(product, lacking_copies=_count_lacking(session, product, now)) for product in products]
        return tuple(sorted(products, key=lambda product: product.created_at))

    def retire(self, product: Retirable, unname: Callable[[Sequence[Path]], None]) -> bool:
        """Delete the row of a product and rename its files away; the row stays when that fails.

        Parameters
        ----------
        product : from `due`.
        unname : called with the product's paths in the transaction that deletes the row; its exception undoes that.

        Returns
        -------
        False, with nothing changed, when the job is queued again, an open epoch needs the image, a file lacks a
        verified copy, or the product was replaced or is gone.
        """
        now = self._database.clock()
        model: Any = _MODELS[product.kind]
        with self._database.write() as session:
            job = find_job(session, product.job_id, lock=True)
            if _count_lacking(session, product, now):
                return False
            rows = select(model).where(model.job_id == product.job_id)
            if model is tables.ProductFile:  # the first of them stands for all
                rows = rows.where(model.kind == RAW, model.state == LocalState.PRESENT)
            row = session.scalar(rows.order_by(model.id).limit(1))
            if job is None or row is None or job.state != State.COMPLETED or row.created_at != product.created_at:
                return False
            if model is tables.MeasurementSet and row.group_id in _awaited_groups(session):
                return False
            if model is tables.Image and row.id in wanted_images(session, self._database.rules):
                return False
            if model is not tables.ProductFile:
                session.delete(row)
            mark_retired(session, product.paths)
            days = (now - product.created_at) / DAY_S
            record_event(session, now, INFO, product.group, f"{product.kind} retired after {days:.1f} days")
            session.flush()
            unname(product.paths)
            return True


SUBBAND_FILES = "subband files"
_MODELS = {
    "Measurement Set": tables.MeasurementSet, "image": tables.Image, "mosaic": tables.MosaicRow,
    SUBBAND_FILES: tables.ProductFile,
}  # fmt: skip
_KINDS = {"Measurement Set": MS, "image": IMAGE, "mosaic": MOSAIC, SUBBAND_FILES: RAW}


def _count_lacking(session: Session, product: Retirable, now: float) -> int:
    """Count the files of a product that are not verified in as many places as the rules require."""
    if not product.required_places:
        return 0
    counts = verified_counts(session, [str(path) for path in product.paths], now)
    return sum(counts.get(str(path), 0) < product.required_places for path in product.paths)


def _subband_files(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    """The registered subband files of completed tiles, without those of the newest groups."""
    if not rules.keep_raw_days:
        return
    file, job = tables.ProductFile, tables.Job
    of_tile = (job.kind == TILE.name, job.processing == LIVE, job.state == State.COMPLETED)
    newest = select(job.id).where(*of_tile).order_by(job.completed_at.desc()).limit(rules.keep_last)
    newest_ids, awaited = set(session.scalars(newest)), _awaited_groups(session)
    before = now - rules.keep_raw_days * DAY_S
    old = file.kind == RAW, file.created_at < before, file.state == LocalState.PRESENT
    query = select(file, job.key).join(job, job.id == file.job_id).where(*old, *of_tile).order_by(file.job_id, file.id)
    for (job_id, key), rows in groupby(session.execute(query), key=lambda pair: (pair[0].job_id, pair[1])):
        files = [row for row, _ in rows]
        if job_id not in newest_ids and key not in awaited:
            paths = tuple(Path(row.path) for row in files)
            yield Retirable(job_id, key, SUBBAND_FILES, paths, files[0].created_at)


def _measurement_sets(session: Session, rules: RetentionRules, now: float) -> Iterator[Retirable]:
    if not rules.keep_ms_days:
        return
    table = tables.CalibrationTable
    needed = set(session.scalars(select(table.job_id).where(table.superseded_by.is_(None))))
    awaited = _awaited_groups(session)
    for row in _old(session, tables.MeasurementSet, rules, now - rules.keep_ms_days * DAY_S):
        if row.job_id not in needed and row.group_id not in awaited:
            yield Retirable(row.job_id, row.group_id, "Measurement Set", (Path(row.path),), row.created_at)


def _awaited_groups(session: Session) -> set[str]:
    """Groups whose files or live Measurement Set a job of a campaign is still to read."""
    job = tables.Job
    query = select(job.key).where(job.processing != LIVE, job.kind == TILE.name, job.state.in_(UNDECIDED))
    return set(session.scalars(query))


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
    newest = set(
        session.scalars(
            select(mosaic.id).where(mosaic.processing == LIVE).order_by(mosaic.created_at.desc()).limit(rules.keep_last)
        )
    )
    is_old = mosaic.created_at < now - rules.keep_mosaics_days * DAY_S
    query = select(mosaic).join(job, job.id == mosaic.job_id).where(is_old, job.state == State.COMPLETED)
    query = query.where(mosaic.processing == LIVE)
    for row in session.scalars(query):
        if row.id in newest or (rules.keep_flagged and row.verdict not in (None, GOOD)):
            continue
        fits = Path(row.record["fits_path"])
        files = {path for path in fits.parent.glob(f"{row.epoch}.*") if MARK not in path.name}
        yield Retirable(row.job_id, row.epoch, "mosaic", (fits, *sorted(files - {fits})), row.created_at)


def _old(session: Session, model: type[Product], rules: RetentionRules, before: float) -> list[Product]:
    """Rows created before a time (epoch seconds), without the newest, those queued again, and flagged images."""
    newest = select(model.id).where(model.processing == LIVE).order_by(model.created_at.desc()).limit(rules.keep_last)
    newest_ids = set(session.scalars(newest))
    job = tables.Job
    query = (
        select(model)
        .join(job, job.id == model.job_id)
        .where(model.processing == LIVE, model.created_at < before, job.state == State.COMPLETED)
    )
    rows: list[Product] = [row for row in session.scalars(query) if row.id not in newest_ids]
    if rules.keep_flagged:
        image = tables.Image
        flagged = set(session.scalars(select(image.job_id).where(image.verdict.is_not(None), image.verdict != GOOD)))
        rows = [row for row in rows if row.job_id not in flagged]
    return rows
