"""Mosaics by position and time, from the index of the cells that they cover."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.database import order_by_key
from contimg.store.epochs.mosaics import StoredMosaic, make_stored_mosaic

_BATCH = 200
Ranges = Sequence[tuple[int, int]]


def search_mosaics(
    session: Session, regions: Sequence[Ranges], spans_s: Sequence[tuple[float, float]], grades: Collection[str]
) -> Iterator[StoredMosaic]:  # fmt: skip
    """Yield the mosaics that may cover a part of the sky, the latest observed first; read in batches.

    Parameters
    ----------
    session : of the caller's transaction.
    regions : ranges of cells of each region, of `contimg.sky.regions.cells_of`; empty for the whole sky.
    spans_s : limits of the beginnings of the epochs' windows, epoch seconds; empty for all times.
    grades : QA grades.
    """
    row, cell = tables.MosaicRow, tables.MosaicCell
    query = select(row).where(row.verdict.in_(grades))
    ranges = sorted({limits for region in regions for limits in region})
    if ranges:
        is_inside = or_(*(cell.cell.between(first, after - 1) for first, after in ranges))
        query = query.where(row.id.in_(select(cell.mosaic_id).where(is_inside)))
    if spans_s:
        query = query.where(or_(*(row.reference_s.between(since_s, until_s) for since_s, until_s in spans_s)))
    before: tuple[float, int] | None = None
    while True:
        rows = list(session.scalars(order_by_key(query, row.reference_s, row.id, False, before).limit(_BATCH)))
        yield from map(make_stored_mosaic, rows)
        if len(rows) < _BATCH:
            return
        before = rows[-1].reference_s, rows[-1].id
        session.expunge_all()
